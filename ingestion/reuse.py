"""Vectors of the version that is read now, for what the next one says in the same words.

A site that is read anew every day says mostly what it said yesterday; only what is new is embedded, and paid.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha256

from kit.vectors.port import Chunk, Generation, VectorStore

_PAGE = 500


class Reuse:
    """Vectors by the text that was embedded, four bytes a number: 20,000 chunks take 20 to 120 MB."""

    def __init__(self) -> None:
        self._vectors: dict[bytes, array[float]] = {}

    @classmethod
    async def of(cls, store: VectorStore, read: Generation | None, model: str) -> Reuse:
        """Return what there is to use again. Vectors of another model are not. Raises `StoreAway`."""
        made = cls()
        if read is None or read.model != model:
            return made
        for begin in range(0, read.chunks, _PAGE):
            for stored in await store.chunks(read, begin, _PAGE, vectors=True):
                made._vectors[_named(embedded_text(stored.chunk))] = array("f", stored.vector)
        return made

    def vector(self, text: str) -> Sequence[float] | None:
        """Return the vector of a text that was embedded before."""
        return self._vectors.get(_named(text))


def embedded_text(chunk: Chunk) -> str:
    """Return what stands for a chunk's meaning: its text, under its headings."""
    return f"{chunk.section}\n{chunk.text}" if chunk.section else chunk.text


def _named(text: str) -> bytes:
    return sha256(text.encode()).digest()
