"""Links of pages in a repository → links of pages on a site."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Where pages with the source of a file are.
SOURCES = "source/"
#: Pages of the site that stand elsewhere in the repository.
_MOVED = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "decisions/index.md": "docs/decisions/x.md",
}
_CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[^\n]*$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[(?:\\.|[^\[\]\\])*\]\(\s*)([^)>\s]+)((?:\s+\"[^\"]*\")?\s*\))")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)
_MERMAID = re.compile(r"^```mermaid\n.*?^```\n+", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".lua": "lua", ".sql": "sql", ".yaml": "yaml", ".json": "json", ".sh": "sh"}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def outside(pages: Mapping[str, str]) -> set[str]:
    """Return the files and folders outside the documentation that pages link to."""
    found: set[str] = set()
    for page, text in pages.items():
        for target in _targets(text):
            path = _in_repository(page, target.partition("#")[0])
            if path and _on_site(path) is None:
                found.add(path)
    return found


def rewritten(text: str, page: str) -> str:
    """Return a page's text with links that lead somewhere on the site."""
    if page.startswith(SOURCES):
        return text

    def led(link: re.Match[str]) -> str:
        target = link[2]
        path, _, anchor = target.partition("#")
        found = _in_repository(page, path)
        if _ELSEWHERE.match(target) or found is None:
            return link[0]
        there = _on_site(found)
        if there is None:
            there, line = place_of(found), _line(found, anchor)
            anchor = f"line-{line}" if line else ""
        relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"{link[1]}{relative}{'#' + anchor if anchor else ''}{link[3]}"

    parts = _CODE.split(text)
    return "".join(part if i % 2 else _LINK.sub(led, part) for i, part in enumerate(parts))


def without_mermaid(text: str) -> str:
    """Return a page without its Mermaid drawings: each stands above the same as text."""
    return _MERMAID.sub("", text)


def source_page(path: str) -> str:
    """Return a page with a file's source, or a folder's list. A definition's line is an anchor."""
    file = ROOT / path
    title = f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n"
    if file.is_dir():
        listed = sorted(one.name for one in file.iterdir() if not one.name.startswith((".", "__")))
        return title + "".join(f"- `{name}`\n" for name in listed)
    lines = file.read_text().splitlines()
    starts = sorted({line for _, line in definitions(path)} | {1})
    made = [title]
    for start, end in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        body = "\n".join(lines[start - 1 : end - 1])
        language = _LANGUAGES.get(file.suffix, "text")
        made.append(f'<a id="line-{start}"></a>\n\n~~~~ {{.{language} linenums="{start}"}}\n{body}\n~~~~\n\n')
    return "".join(made)


def place_of(path: str) -> str:
    """Return where the page of a source is; what begins with a dot is left out of sites."""
    return f"{SOURCES}{path.lstrip('.')}.md"


def definitions(path: str) -> list[tuple[str, int]]:
    """Return the qualified names that a module defines and the lines they begin on."""
    if not path.endswith(".py"):
        return []
    return list(_defined(ast.parse((ROOT / path).read_text()).body))


def _defined(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, _Definition):
            first = min([node.lineno, *[decorator.lineno for decorator in node.decorator_list]])
            yield prefix + node.name, first
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body, f"{prefix}{node.name}.")


def _line(path: str, name: str) -> int:
    return dict(definitions(path)).get(name, 0) if name else 0


def _targets(text: str) -> list[str]:
    return [link[1] for link in _LINK.findall(_CODE.sub("", text)) if not _ELSEWHERE.match(link[1])]


def _in_repository(page: str, path: str) -> str | None:
    """Return where a link leads in the repository; `None` for what is a page of the site alone."""
    if page.startswith(("reference/", SOURCES)) or not path:
        return None
    home = posixpath.dirname(_MOVED.get(page, f"docs/{page}"))
    return posixpath.normpath(posixpath.join(home, path))


def _on_site(path: str) -> str | None:
    """Return where a file of the repository is on the site, if it is there by itself."""
    if path == "docs/decisions":
        return "decisions/index.md"
    moved = {there: here for here, there in _MOVED.items()}.get(path)
    if moved:
        return moved
    is_page = path.startswith("docs/") and not path.startswith("docs/site/") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if is_page else None
