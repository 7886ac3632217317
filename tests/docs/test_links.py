"""Every relative link in the documentation leads somewhere, also the part behind the `#`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from parsed import parsed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?:\\.|[^\[\]\\])*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def links(text: str) -> list[str]:
    """Return the targets of a page's links and images, those inside code left out."""
    return _LINK.findall(_CODE.sub("", text))


def names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield the qualified names of the classes, functions and methods of a module's body."""
    for node in body:
        if isinstance(node, _Definition):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from names(node.body, f"{prefix}{node.name}.")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(_CODE.sub("", text)))
    return {title.replace(" ", "-") for title in plain}


def problem(page: Path, target: str) -> str | None:
    """Return what is wrong with a link of `page`; `None` when it is sound or leads out of the repository."""
    if _ELSEWHERE.match(target):
        return None
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(ROOT) and not file.is_relative_to(page.parent):
        return f"{target}: leaves the repository"
    if not file.exists():
        return f"{target}: there is no such file"
    if anchor and file.suffix == ".py" and anchor not in set(names(parsed(file.read_text()).body)):
        return f"{target}: {path} defines no {anchor}"
    if anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
        return f"{target}: there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    found = [problem(page, target) for target in links(page.read_text())]

    assert [what for what in found if what] == []


def test_the_life_of_an_event_has_ten_stations_and_each_names_code() -> None:
    text = (ROOT / "docs" / "life-of-an-event.md").read_text()
    stations = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    assert [station.split(".")[0] for station in stations] == [str(n) for n in range(1, 11)]
    assert [s for s in stations if not any(".py#" in target for target in links(s))] == []


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "there.py").write_text("class Run:\n    async def begin(self): ...\n\ndef fold(): ...\n")
    (tmp_path / "other.md").write_text("# Title\n\n## What *it* does, briefly\n")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    "sound",
    [
        "there.py",
        "there.py#Run",
        "there.py#Run.begin",
        "there.py#fold",
        "other.md#what-it-does-briefly",
        "https://example.com/nowhere",
        "mailto:someone@example.com",
    ],
)
def test_a_sound_link_is_let_through(page: Path, sound: str) -> None:
    assert problem(page, sound) is None


@pytest.mark.parametrize(
    "dead",
    [
        "gone.py",
        "gone.md#title",
        "there.py#Run.end",
        "there.py#begin",
        "there.py#run",
        "other.md#what-it-did",
        "images/none.png",
        "../../../../outside",
    ],
)
def test_a_dead_link_is_refused(page: Path, dead: str) -> None:
    assert problem(page, dead) is not None


def test_links_are_found_where_readers_see_them() -> None:
    text = (
        '[a](one.md) and [b \\_c\\_](two.py#x "title"), ![image](three.png)\n'
        "`[no](code.md)`\n```sh\n[no](fenced.md)\n```\n[last](<four.md>)\n"
    )

    assert links(text) == ["one.md", "two.py#x", "three.png", "four.md"]
