"""Words as they are compared: written and asked for with the same scissors."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "me",
        "my",
        "not",
        "of",
        "on",
        "or",
        "our",
        "so",
        "that",
        "the",
        "their",
        "then",
        "there",
        "this",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)
_MAX_WORD = 48
#: Distinct words of a question that are looked for.
MAX_ASKED = 24


def terms(text: str) -> list[str]:
    """Return a text's words in order: lower case, without accents, plural `s` and the smallest words."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return [_stem(word) for word in _WORD.findall(plain) if word not in _STOP and len(word) <= _MAX_WORD]


def asked(text: str) -> list[str]:
    """Return the distinct words of a question."""
    return list(dict.fromkeys(terms(text)))[:MAX_ASKED]


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
