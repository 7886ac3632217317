"""How well and how fast an instance finds what it knows, on each store whose server is here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import weaviate_server
from msgspec import Struct

from kit import embeddings, vectors
from kit.embeddings import Embedder
from kit.settings import ClickHouseSettings, EmbeddingSettings, KnowledgeSettings
from kit.vectors.port import Chunk, Generation, Place, Question, VectorStore
from stack import ports, servers
from stack.process import Child
from streams.warehouse import migrate

_FOLDER = Path(__file__).parent / "retrieval"
_K = 5
#: Chunks of the instance whose latency is measured: a handbook of a thousand pages.
_LARGE = 5_000
_ROUNDS = 5
_BATCH = 64


class Passage(Struct):
    id: str
    title: str
    text: str


class Asked(Struct):
    query: str
    answer: str


@dataclass
class Found:
    """Ranks of the right passages, 0 where it was not found, and how long searches took."""

    ranks: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return sum(0 < rank <= _K for rank in self.ranks) / len(self.ranks)

    @property
    def reciprocal_rank(self) -> float:
        return sum(1 / rank for rank in self.ranks if rank) / len(self.ranks)


async def measure(folder: Path) -> dict[str, Found | str]:
    """Return what each store found; why, where a server is not here."""
    passages = msgspec.json.decode((_FOLDER / "passages.json").read_bytes(), type=list[Passage])
    questions = msgspec.json.decode((_FOLDER / "questions.json").read_bytes(), type=list[Asked])
    embedder = embeddings.connect(EmbeddingSettings())
    found: dict[str, Found | str] = {"meaning alone (cosine)": await _cosine(embedder, passages, questions)}
    async with _clickhouse(folder) as settings:
        store = vectors.connect(KnowledgeSettings(), settings)
        found["ClickHouse"] = await _of(store, embedder, passages, questions)
        await store.close()
    (folder / "weaviate").mkdir(parents=True)
    try:
        with weaviate_server.running(folder / "weaviate") as knowledge:
            store = vectors.connect(knowledge, ClickHouseSettings())
            found["Weaviate"] = await _of(store, embedder, passages, questions)
            await store.close()
    except weaviate_server.NotThere as missing:
        found["Weaviate"] = str(missing)
    return found


async def _of(
    store: VectorStore, embedder: Embedder, passages: Sequence[Passage], questions: Sequence[Asked]
) -> Found:
    await _fill(store, embedder, "small", [(p.id, p.title, p.text) for p in passages])
    large = [
        (f"{p.id}-{n}", p.title, f"Edition {n}. {p.text}")
        for n in range(-(-_LARGE // len(passages)))
        for p in passages
    ]
    await _fill(store, embedder, "large", large[:_LARGE])
    found = Found()
    for asked in questions:
        hits = await _search(store, embedder, "small", asked.query)
        found.ranks.append(hits.index(asked.answer) + 1 if asked.answer in hits else 0)
    for _ in range(_ROUNDS):
        for asked in questions:
            begun = time.perf_counter()
            await _search(store, embedder, "large", asked.query)
            found.milliseconds.append((time.perf_counter() - begun) * 1000)
    return found


async def _fill(
    store: VectorStore, embedder: Embedder, instance_id: str, texts: Sequence[tuple[str, str, str]]
) -> None:
    place = Place(tenant_id="bench", instance_id=instance_id, source_id=f"src_{instance_id}")
    generation = Generation(place=place, version=1, attempt="a", model=embedder.model, chunks=len(texts))
    for begin in range(0, len(texts), _BATCH):
        batch = texts[begin : begin + _BATCH]
        made = await embedder.embed([f"{title}\n{text}" for _, title, text in batch])
        chunks = [
            Chunk(ordinal=begin + n, text=text, tokens=0, title=title, url=name)
            for n, (name, title, text) in enumerate(batch)
        ]
        await store.upsert(generation, chunks, made.vectors)
    await store.activate(generation)


async def _search(store: VectorStore, embedder: Embedder, instance_id: str, query: str) -> list[str]:
    made = await embedder.embed([query])
    question = Question(
        tenant_id="bench",
        instance_id=instance_id,
        text=query,
        vector=made.vectors[0],
        model=embedder.model,
        k=_K,
    )
    return [hit.url for hit in await store.search(question)]


async def _cosine(embedder: Embedder, passages: Sequence[Passage], questions: Sequence[Asked]) -> Found:
    """Rank by meaning only, without any store: what fusing with words is worth is the difference."""
    known = (await embedder.embed([f"{p.title}\n{p.text}" for p in passages])).vectors
    found = Found()
    for asked in questions:
        [vector] = (await embedder.embed([asked.query])).vectors
        near = [sum(x * y for x, y in zip(vector, other, strict=True)) for other in known]
        order = [passages[n].id for n in sorted(range(len(near)), key=lambda n: -near[n])]
        rank = order.index(asked.answer) + 1
        found.ranks.append(rank if rank <= _K else 0)
    return found


@asynccontextmanager
async def _clickhouse(folder: Path) -> AsyncIterator[ClickHouseSettings]:
    """Run a ClickHouse with the product's tables until the block ends."""
    port = ports.choose({"clickhouse": 0}, {})["clickhouse"]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    child = Child(servers.clickhouse(folder / "clickhouse", port), folder / "logs", lambda: None)
    child.start()
    try:
        if not await child.wait_ready(60):
            raise RuntimeError("ClickHouse did not start")
        settings = ClickHouseSettings(url=f"http://127.0.0.1:{port}")
        await asyncio.to_thread(migrate.bring_up_to_date, settings)
        yield settings
    finally:
        await child.stop()
