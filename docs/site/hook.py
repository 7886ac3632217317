"""MkDocs' hook: the pages are written for a repository's reader, and the site has no repository beside it.

README becomes the first page; what pages link to outside `docs/` becomes a page with its source, and a link
to a function leads to its lines; the API reference is made from what the services say of themselves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

import linking  # noqa: E402
import reference  # noqa: E402

_made: dict[str, str] = {}


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is not there, and list the decisions."""
    _made.clear()
    _made.update(reference.pages())
    _made.update(
        {
            "index.md": (ROOT / "README.md").read_text(),
            "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
            "decisions/index.md": _decisions(),
        }
    )
    config["nav"] = [kept for entry in config["nav"] if (kept := _kept(entry)) is not None]
    return config


def _decisions() -> str:
    listed = "".join(
        f"- [{path.read_text().splitlines()[0].lstrip('# ')}]({path.name})\n"
        for path in sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    )
    return f"# Decisions\n\nOne page each.\n\n{listed}"


def _kept(entry: Any) -> Any:
    [(title, what)] = entry.items()
    if what == "decisions/":
        files = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
        return {title: ["decisions/index.md", *[f"decisions/{path.name}" for path in files]]}
    if isinstance(what, list):
        return {title: [kept for one in what if (kept := _kept(one)) is not None]}
    return entry if what in _made or (ROOT / "docs" / what).exists() else None


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: pages, and sources that pages link to."""
    pages = dict(_made)
    for file in files.documentation_pages():
        pages[file.src_uri] = file.content_string
    for target in linking.outside(pages):
        _made[linking.place_of(target)] = linking.source_page(target)
    for path, text in _made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where their targets are on the site; drop drawings that need a script to be seen."""
    return linking.rewritten(linking.without_mermaid(markdown), page.file.src_uri)
