"""Prompt caching as OpenAI counts it: prefixes of 1,024 tokens and more, in steps of 128."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from kit import tokens
from stack.model.chat_request import Message
from stack.model.conversation import text_of

SHORTEST, STEP = 1_024, 128

_REMEMBERED = 100_000

#: A prefix's length in tokens, and its digest.
Prefix = tuple[int, bytes]


class PromptCache:
    """Remembers prefixes by their digests; the ones longest unused go first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, prefixes: Sequence[Prefix]) -> int:
        """Return the length of the longest prefix seen before, and remember them all."""
        longest = 0
        for length, digest in prefixes:
            if digest in self._seen:
                longest = length
            self._seen[digest] = None
            self._seen.move_to_end(digest)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return longest


def prefixes(model: str, messages: Sequence[Message]) -> list[Prefix]:
    """Return a prompt's prefixes that may be cached, shortest first. Each model has a cache of its own."""
    ids: list[int] = []
    for message in messages:
        ids += tokens.encode(f"<{message.role}>{text_of(message)}", model)
    running = blake2b(model.encode(), digest_size=16)
    found: list[Prefix] = []
    for end in range(STEP, len(ids) + 1, STEP):
        running.update(b"".join(token.to_bytes(3, "big") for token in ids[end - STEP : end]))
        if end >= SHORTEST:
            found.append((end, running.digest()))
    return found
