"""What an instance knows about a question: found before the model is asked, and whenever it asks for more."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kit.embeddings import Embedder, EmbeddingAway, EmbeddingRefused
from kit.vectors.port import Hit, Question, StoreAway, VectorStore
from schemas.runner import Citation, Passage

log = logging.getLogger(__name__)

#: Of a question; more says little about what is meant.
_MAX_QUERY_CHARS = 4_000
#: How an answer names passages: numbers in brackets, and between them commas, semicolons or dashes.
_NAMED = re.compile(r"\[(\d{1,4}(?:\s*[,;\u2013-]\s*\d{1,4})*)\]")
_NUMBERS = re.compile(r"(\d+)(?:\s*[\u2013-]\s*(\d+))?")


class KnowledgeAway(Exception):
    """Knowledge cannot be searched now; try again."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose knowledge is searched."""

    tenant_id: str
    instance_id: str


class Retrieval:
    """Searches what instances know."""

    def __init__(self, store: VectorStore, embedder: Embedder, timeout_s: float) -> None:
        self._store = store
        self._embedder = embedder
        self._timeout_s = timeout_s

    async def search(self, whose: Whose, query: str, limit: int) -> list[Passage]:
        """Return the best passages, best first. Raises `KnowledgeAway`."""
        text = query[:_MAX_QUERY_CHARS].strip()
        if not text or limit < 1:
            return []
        try:
            async with asyncio.timeout(self._timeout_s):
                made = await self._embedder.embed([text])
                hits = await self._store.search(
                    Question(
                        tenant_id=whose.tenant_id,
                        instance_id=whose.instance_id,
                        text=text,
                        vector=made.vectors[0],
                        model=self._embedder.model,
                        k=limit,
                    )
                )
        except (StoreAway, EmbeddingAway, EmbeddingRefused, TimeoutError) as error:
            log.warning(
                "knowledge cannot be read", extra={"instance_id": whose.instance_id, "error": repr(error)}
            )
            raise KnowledgeAway("knowledge cannot be searched right now; try again shortly") from error
        return [_passage(hit) for hit in hits]

    async def close(self) -> None:
        """Close all connections."""
        await self._store.close()
        await self._embedder.close()


def citations(passages: Sequence[Passage], answer: str) -> tuple[Citation, ...]:
    """Return what an answer rests on: the passages that it names, as `[1]`, `[1, 3]` or `[2-4]`."""
    named = _named(answer, len(passages))
    return tuple(_citation(at, passage) for at, passage in enumerate(passages, start=1) if at in named)


def _named(answer: str, most: int) -> set[int]:
    named: set[int] = set()
    for numbers in _NAMED.findall(answer):
        for first, last in _NUMBERS.findall(numbers):
            # A model may write any number.
            named.update(range(int(first), min(int(last or first), most) + 1))
    return named


def _citation(number: int, passage: Passage) -> Citation:
    return Citation(
        number=number,
        source_id=passage.source_id,
        title=passage.title,
        url=passage.url,
        section=passage.section,
        page=passage.page,
        score=passage.score,
    )


def _passage(hit: Hit) -> Passage:
    return Passage(
        source_id=hit.source_id,
        title=hit.title,
        url=hit.url,
        section=hit.section,
        page=hit.page,
        text=hit.text,
        score=hit.score,
    )
