"""Splits SQL into tokens, just far enough to see clauses without being fooled by strings and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Every opener also matches when its closer is missing: a scan stays linear in the text's length.
_TOKEN = re.compile(
    rb"""
    (?P<space> \s++ | --[^\n]*+ | \#[ !][^\n]*+ | /\*(?:.*?\*/|.*) )
  | (?P<literal> '(?:[^'\\]|\\.|'')*+'? )
  | (?P<quoted> "(?:[^"\\]|\\.|"")*+"? | `(?:[^`\\]|\\.|``)*+`? )
  | (?P<heredoc> \$(?P<tag>\w*)\$(?:.*?\$(?P=tag)\$|.*) )
  | (?P<word> [A-Za-z0-9_]++ )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """`kind` is literal, quoted, heredoc, word or other; `text` as written, `word` upper-cased if a word."""

    kind: str
    text: bytes
    start: int
    end: int
    depth: int

    @property
    def word(self) -> bytes:
        return self.text.upper() if self.kind == "word" else b""

    @property
    def name(self) -> str:
        """Return an identifier's name, quoted or not, lower-cased; empty for anything else."""
        if self.kind == "word":
            return self.text.decode().lower()
        if self.kind == "quoted":
            return self.text[1:-1].decode("utf-8", "replace").lower()
        return ""


def words(text: str) -> frozenset[str]:
    """Return the words of a list written as text."""
    return frozenset(text.split())


def tokens(sql: bytes) -> Iterator[Token]:
    """Yield the tokens of `sql` without space and comments; `depth` counts open brackets around each."""
    depth = 0
    for found in _TOKEN.finditer(sql):
        kind, text = found.lastgroup or "other", found[0]
        if kind == "space":
            continue
        if text in (b")", b"]", b"}"):
            depth -= 1
        yield Token(kind, text, found.start(), found.end(), depth)
        if text in (b"(", b"[", b"{"):
            depth += 1
