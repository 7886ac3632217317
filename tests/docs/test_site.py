"""The documentation's site builds without a warning, stands alone, and none of its links is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page loads, where it leads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.anchors |= {told[name] for name in ("id", "name") if name in told}
        self.classes |= set(told.get("class", "").split())
        if tag in ("script", "img", "iframe") and "src" in told:
            self.loads.append(told["src"])
        if tag == "link" and told.get("rel") != "canonical" and "href" in told:
            self.loads.append(told["href"])
        if tag == "a" and "href" in told:
            self.links.append(told["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def dead(pages: dict[Path, Page], page: Page) -> Iterator[str]:
    """Yield the links of a page that lead nowhere on the site."""
    for target in [*page.links, *page.loads]:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        there = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        there = there / "index.html" if there.is_dir() else there
        anchors = pages[there].anchors if parts.fragment and there in pages else None
        if not there.exists() or (anchors is not None and unquote(parts.fragment) not in anchors):
            yield target


def test_no_link_is_dead(site: Path, pages: dict[Path, Page]) -> None:
    # The page for what is not found is shown at any address, so its links are of the site's root.
    looked = [page for path, page in pages.items() if path.name != "404.html"]
    found = {str(page.path.relative_to(site)): links for page in looked if (links := list(dead(pages, page)))}

    assert len(looked) > 60
    assert found == {}


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    found = {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}

    assert found == set()
    # The theme would fetch what draws them from a content network.
    assert not [path for path, page in pages.items() if "mermaid" in page.classes]


def test_a_link_to_a_function_leads_to_its_lines(site: Path, pages: dict[Path, Page]) -> None:
    [link] = [link for link in pages[site / "life-of-an-event.html"].links if "publisher.py" in link]
    path, _, anchor = link.partition("#")

    source = (site / path).read_text()
    after = source.split(f'id="{anchor}"', 1)[1]
    assert "publish" in after[:2_000]


def test_the_navigation_has_what_is_promised(site: Path) -> None:
    for path in (
        "index",
        "architecture",
        "operations",
        "security",
        "metrics",
        "decisions/index",
        "changelog",
    ):
        assert (site / f"{path}.html").exists(), path


def test_the_reference_is_what_the_services_say(site: Path) -> None:
    gateway = (site / "reference" / "gateway.html").read_text()
    console_api = (site / "reference" / "console-api.html").read_text()

    for asked in ("POST /v1/runs", "POST /v1/chat/completions", "POST /v1/widget/session:init"):
        assert asked in gateway
    for asked in ("GET /api/v1/instances/{instance_id}/usage", "GET /api/v1/meters"):
        assert asked in console_api
    assert "Idempotency-Key" in gateway


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text('<a href="b.html">b</a><a href="#no">no</a><a id="x" href="#x">x</a>')
    page = Page(path)

    assert list(dead({path: page}, page)) == ["b.html", "#no"]
