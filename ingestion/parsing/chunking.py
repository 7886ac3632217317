"""Pages → chunks: along headings, paragraphs and sentences, never across pages."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

from semantic_text_splitter import MarkdownSplitter

from ingestion.parsing.documents import Page

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")
#: Characters that some store or reader cannot hold.
_UNHOLDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SECTION_CHARS = 300
#: Counted with this model's vocabulary, the nearest there is for all of them.
_MODEL = "gpt-4o"


class Splitter:
    """Cuts text into pieces of so many tokens."""

    def __init__(self, tokens: int, overlap: int) -> None:
        self._splitter = _splitter(tokens, min(overlap, tokens // 2))

    def cut(self, page: Page) -> Iterator[tuple[str, str]]:
        """Yield each piece of a page with the headings that it stands under."""
        text = clean(page.text)
        headings = list(_HEADING.finditer(text))
        starts = [heading.start() for heading in headings]
        # Indices are of characters; a piece that begins with a heading stands under it.
        for start, piece in self._splitter.chunk_indices(text):
            if re.search(r"\w", piece):
                above = headings[: bisect_right(starts, start)]
                yield piece, _path(above)


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
