"""Pages → chunks: along headings, paragraphs, sentences and rows, never across pages.

A table that is longer than a chunk names its columns in each: its header stands before every later piece.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from semantic_text_splitter import MarkdownSplitter

from ingestion.parsing.documents import Page

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
#: A header and the line under it, then rows.
_TABLE = re.compile(r"^(\|.*\|[ \t]*\n\|[ \t]*:?-[ \t:|-]*\|[ \t]*\n)((?:\|.*(?:\n|\Z))++)", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")
#: Characters that some store or reader cannot hold.
_UNHOLDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SECTION_CHARS = 300
#: Counted with this model's vocabulary, the nearest there is for all of them.
_MODEL = "gpt-4o"


class _Table(NamedTuple):
    """Where a table stands in a text, of which `head` ends and the rows begin at `body`."""

    begin: int
    body: int
    end: int
    head: str
    head_tokens: int


class Splitter:
    """Cuts text into pieces of so many tokens."""

    def __init__(self, tokens: int, overlap: int) -> None:
        self._tokens = tokens
        self._overlap = min(overlap, tokens // 2)

    def cut(self, page: Page) -> Iterator[tuple[str, str]]:
        """Yield each piece of a page with the headings that it stands under."""
        text = clean(page.text)
        headings = list(_HEADING.finditer(text))
        starts = [heading.start() for heading in headings]
        tables: list[_Table] = []
        # Indices are of characters; a piece that begins with a heading stands under it.
        pieces = _splitter(self._tokens, self._overlap).chunk_indices(text)
        if len(pieces) > 1 and (tables := self._tables(text)):
            room = self._tokens - max(table.head_tokens for table in tables)
            pieces = _splitter(room, min(self._overlap, room // 2)).chunk_indices(text)
        for start, piece in pieces:
            if re.search(r"\w", piece):
                above = headings[: bisect_right(starts, start)]
                yield _with_head(start, piece, tables), _path(above)

    def _tables(self, text: str) -> list[_Table]:
        """Return a text's tables, but for those whose header would leave too little for their rows."""
        # Late: loading the vocabulary takes a while, and few pages have tables.
        from kit import tokens  # noqa: PLC0415

        found = []
        for match in _TABLE.finditer(text):
            table = _Table(*match.span(1), match.end(), match[1], tokens.count(match[1], _MODEL))
            if table.head_tokens <= self._tokens // 2:
                found.append(table)
        return found


def _with_head(start: int, piece: str, tables: list[_Table]) -> str:
    """Return a piece, with the header of the table in whose rows it begins."""
    before = bisect_right(tables, start, key=lambda table: table.begin)
    table = tables[before - 1] if before else None
    if table is None or not table.begin < start < table.end:
        return piece
    # What overlaps may have the header's end already.
    return table.head + piece[max(0, table.body - start) :]


@cache
def _splitter(tokens: int, overlap: int) -> MarkdownSplitter:
    return MarkdownSplitter.from_tiktoken_model(_MODEL, tokens, overlap)


def clean(text: str) -> str:
    """Return text without what cannot be stored, and without the gaps that layouts leave."""
    return _BLANK_LINES.sub("\n\n", _UNHOLDABLE.sub(" ", text.replace("\r\n", "\n"))).strip()


def _path(above: list[re.Match[str]]) -> str:
    path: list[tuple[int, str]] = []
    for heading in above[-64:]:
        level = len(heading[1])
        path = [(known, name) for known, name in path if known < level]
        path.append((level, heading[2].strip("*_ ")))
    return " / ".join(name for _, name in path)[:_SECTION_CHARS]
