"""Prompt caching as OpenAI counts it: prefixes of 1,024 tokens and more, in steps of 128."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from kit import tokens
from stack.provider.conversation import Message, text_of

SHORTEST, STEP = 1_024, 128

_REMEMBERED = 50_000
#: Very long words make tokenising slow; cutting texts keeps it linear.
_PIECE_CHARS = 8_192

#: A prefix's length in tokens, and its digest.
Prefix = tuple[int, bytes]


class PromptCache:
    """Remembers prefixes, as digests; the ones used longest ago go first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached(self, found: Sequence[Prefix], prompt_tokens: int) -> int:
        """Return how many of the prompt's tokens were seen before, and remember its prefixes."""
        hit, known = 0, True
        for length, digest in found:
            known = known and digest in self._seen and length <= prompt_tokens
            hit = length if known else hit
            self._seen[digest] = None
            self._seen.move_to_end(digest)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return hit


def prefixes(model: str, messages: Sequence[Message]) -> list[Prefix]:
    """Return the prompt's prefixes, shortest first."""
    encode = tokens.encoding_for(model).encode_ordinary
    ids: list[int] = []
    for message in messages:
        text = f"<{message['role']}>{text_of(message)}"
        for at in range(0, len(text), _PIECE_CHARS):
            ids += encode(text[at : at + _PIECE_CHARS])
    running = blake2b(model.encode(), digest_size=16)
    found: list[Prefix] = []
    for end in range(STEP, len(ids) + 1, STEP):
        running.update(b"".join(token.to_bytes(4, "big") for token in ids[end - STEP : end]))
        if end >= SHORTEST:
            found.append((end, running.digest()))
    return found
