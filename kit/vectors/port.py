"""The port that the ingestion worker writes to and the runner and the console read from.

To search what one instance knows — the store and the model are made once for a process, and connect when they
are first needed:

    embedder = kit.embeddings.connect(load(EmbeddingSettings))
    store = kit.vectors.connect(load(KnowledgeSettings), load(ClickHouseSettings))

    made = await embedder.embed([text])  # EmbeddingAway, EmbeddingRefused
    hits = await store.search(           # StoreAway
        Question(tenant_id=…, instance_id=…, text=text, vector=made.vectors[0], model=embedder.model, k=5)
    )

Hits come best first, and only of that instance; none is an empty list. An instance without sources may be
asked, too. Put an `asyncio.timeout` of your own around both calls: their own are those of a patient writer.
While sources are embedded anew for another model, those that are not yet are found by their words only.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from msgspec import Struct

MAX_K = 50


class StoreAway(Exception):
    """The store cannot answer now; try again."""


class Place(Struct, frozen=True, kw_only=True):
    """Whose source it is."""

    tenant_id: str
    instance_id: str
    source_id: str


class Generation(Struct, frozen=True, kw_only=True):
    """One attempt to index one version of a source: its chunks are read all together, or not at all."""

    place: Place
    version: int
    attempt: str
    model: str
    chunks: int = 0
    tokens: int = 0
    pages: int = 0

    @property
    def name(self) -> str:
        return f"{self.place.source_id}:{self.version}:{self.attempt}"


class Chunk(Struct, frozen=True, kw_only=True):
    """A piece of a source, small enough to be quoted to a model. `page` is 0 where there are none."""

    ordinal: int
    text: str
    tokens: int
    title: str = ""
    url: str = ""
    section: str = ""
    page: int = 0


class Stored(Struct, frozen=True, kw_only=True):
    """A chunk as it stands in the store. `vector` is empty unless it was wanted."""

    chunk: Chunk
    vector: Sequence[float] = ()


class Question(Struct, frozen=True, kw_only=True):
    """What an instance is asked: `vector` is the text's, by `model`; `k` hits are wanted at most."""

    tenant_id: str
    instance_id: str
    text: str
    vector: Sequence[float]
    model: str
    k: int = 5


class Hit(Struct, frozen=True, kw_only=True):
    """A chunk that answers a question. `score` ranks; `similarity` is the cosine.

    Where only words matched the similarity is 0.
    """

    chunk_id: str
    source_id: str
    score: float
    similarity: float
    title: str
    url: str
    section: str
    page: int
    text: str


def chunk_id(generation: Generation, ordinal: int) -> str:
    """Return a chunk's id: the same version cut the same way has the same ids."""
    named = f"{generation.place.source_id}\0{generation.version}\0{ordinal}"
    return sha256(named.encode()).hexdigest()[:32]


class VectorStore(Protocol):
    """Chunks of all instances. Every call raises `StoreAway` while the store is away."""

    async def upsert(
        self, generation: Generation, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]
    ) -> None:
        """Write some chunks of a generation; nobody reads them yet. Repeating it changes nothing."""

    async def activate(self, generation: Generation) -> None:
        """Make a whole generation what is read of its source, and what was before it go away.

        An older version never replaces a newer one, nor what was deleted since.
        """

    async def discard(self, generation: Generation) -> None:
        """Delete the chunks of a generation that will never be activated."""

    async def active(self, place: Place) -> Generation | None:
        """Return the generation that is read of a source."""

    async def chunks(
        self, generation: Generation, begin: int, limit: int, *, vectors: bool = False
    ) -> list[Stored]:
        """Return the chunks of a generation whose ordinals are `begin` up to `begin + limit`, in order."""

    async def delete(self, place: Place, version: int) -> None:
        """Delete all chunks of a source; versions up to that one never come back."""

    async def search(self, question: Question) -> list[Hit]:
        """Return the best chunks for a question, best first, by meaning and by word."""

    async def count(self, tenant_id: str, instance_id: str, source_id: str = "") -> int:
        """Return how many chunks can be found."""

    async def close(self) -> None:
        """Close the connections."""
