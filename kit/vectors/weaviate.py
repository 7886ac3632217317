"""Chunks in Weaviate: a tenant of it for each instance, exact cosine and BM25 fused by rank.

A collection for each embedding model, because lengths of vectors differ; `…Versions` says which generation of
a source is read. Both stand in the instance's own tenant, which no query of another instance can name.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, uuid5

import grpc  # type: ignore[import-untyped]
import httpx
from weaviate.client import WeaviateAsyncClient
from weaviate.collections.classes.filters import Filter
from weaviate.collections.classes.grpc import HybridFusion, MetadataQuery
from weaviate.collections.collection import CollectionAsync
from weaviate.exceptions import WeaviateBaseError

from kit.settings import KnowledgeSettings
from kit.vectors import weaviate_schema as schema
from kit.vectors.fusion import fuse
from kit.vectors.port import MAX_K, Chunk, Generation, Hit, Place, Question, StoreAway, Stored, chunk_id
from kit.vectors.terms import asked, terms

T = TypeVar("T")
_Rows = CollectionAsync[Any, Any]

_AWAY = (WeaviateBaseError, grpc.RpcError, httpx.HTTPError, TimeoutError, OSError)
_SHOWN = ["chunk_id", "source_id", "title", "url", "section", "page", "text"]
#: How deep each ranking goes before they are fused.
_DEPTH = 50
_PAGE = 1_000
_MAX_PAGES = 50
#: A deletion takes at most as many objects as a query may find, and says how many it took.
_MAX_DELETIONS = 200
#: Collections and tenants that are remembered to be there.
_MAX_KNOWN = 100_000


class WeaviateVectors:
    """A `VectorStore`. Connects when it is first needed."""

    def __init__(self, settings: KnowledgeSettings) -> None:
        self._settings = settings
        self._client: WeaviateAsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._known: set[str] = set()

    async def upsert(
        self, generation: Generation, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]
    ) -> None:
        if not chunks:
            return
        made = [
            schema.chunk_object(_id(generation.name, chunk.ordinal), _properties(generation, chunk), vector)
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
        rows = await self._collection(schema.chunks_of(generation.model), generation.place)
        await self._insert(rows, made)

    async def activate(self, generation: Generation) -> None:
        await self._switch(generation, active=True)
        newest = await self._newest(generation.place)
        kept = newest["generation"] if newest and newest["active"] else ""
        await self._purge(generation.place, generation.version, kept)

    async def discard(self, generation: Generation) -> None:
        rows = await self._collection(schema.chunks_of(generation.model), generation.place)
        if await self._has(rows, generation.place):
            await _delete_all(rows, Filter.by_property("generation").equal(generation.name))

    async def active(self, place: Place) -> Generation | None:
        newest = await self._newest(place)
        if newest is None or not newest["active"]:
            return None
        return Generation(
            place=place,
            version=int(newest["version"]),
            attempt=str(newest["generation"]).rpartition(":")[2],
            model=str(newest["model"]),
            chunks=int(newest["chunks"]),
            tokens=int(newest["tokens"]),
            pages=int(newest["pages"]),
        )

    async def chunks(
        self, generation: Generation, begin: int, limit: int, *, vectors: bool = False
    ) -> list[Stored]:
        rows = await self._collection(schema.chunks_of(generation.model), generation.place)
        if not await self._has(rows, generation.place):
            return []
        ordinal = Filter.by_property("ordinal")
        of = Filter.by_property("generation").equal(generation.name)
        of = of & ordinal.greater_or_equal(begin) & ordinal.less_than(begin + limit)
        found = await _told(rows.query.fetch_objects(limit=limit, filters=of, include_vector=vectors))
        return sorted(map(_stored, found.objects), key=lambda stored: stored.chunk.ordinal)

    async def delete(self, place: Place, version: int) -> None:
        gone = Generation(place=place, version=version, attempt="deleted", model="")
        await self._switch(gone, active=False)
        await self._purge(place, version, "")

    async def search(self, question: Question) -> list[Hit]:
        place = _instance(question.tenant_id, question.instance_id)
        readable = await self._readable(place)
        words = " ".join(asked(question.text))
        rankings: list[list[str]] = []
        found: dict[str, Hit] = {}
        for model, names in readable.items():
            rows = await self._collection(schema.chunks_of(model), place)
            vector = list(question.vector) if model == question.model else None
            ranked = await _asked_of(
                rows, words, vector, Filter.by_property("generation").contains_any(names)
            )
            rankings.append([hit.chunk_id for hit in ranked])
            found |= {hit.chunk_id: hit for hit in ranked}
        if len(rankings) == 1:
            return list(found.values())[: min(question.k, MAX_K)]
        # While a new embedding model takes over, an instance has chunks of both.
        fused = fuse(rankings)[: min(question.k, MAX_K)]
        return [schema.with_score(found[name], score) for name, score in fused]

    async def count(self, tenant_id: str, instance_id: str, source_id: str = "") -> int:
        place, known = _instance(tenant_id, instance_id), 0
        for model, names in (await self._readable(place, source_id)).items():
            rows = await self._collection(schema.chunks_of(model), place)
            of = Filter.by_property("generation").contains_any(names)
            found = await _told(rows.aggregate.over_all(total_count=True, filters=of))
            known += found.total_count or 0
        return known

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _switch(self, generation: Generation, *, active: bool) -> None:
        rows = await self._collection(schema.VERSIONS, generation.place)
        properties = {
            "source_id": generation.place.source_id,
            "version": generation.version,
            "generation": generation.name,
            "active": active,
            "chunks": generation.chunks,
            "tokens": generation.tokens,
            "pages": generation.pages,
            "model": generation.model,
            "recorded_at": datetime.now(UTC),
        }
        await self._insert(rows, [schema.row_object(_id(generation.name, active), properties)])

    async def _versions(self, place: Place) -> list[dict[str, Any]]:
        """Return what was ever switched of a source, or of all of an instance; the newest of each first."""
        rows = await self._collection(schema.VERSIONS, place)
        if not await self._has(rows, place):
            return []
        found: list[dict[str, Any]] = []
        after = None
        for _ in range(_MAX_PAGES):
            if place.source_id:
                of = Filter.by_property("source_id").equal(place.source_id)
                page = await _told(rows.query.fetch_objects(limit=_PAGE, filters=of))
            else:
                page = await _told(rows.query.fetch_objects(limit=_PAGE, after=after))
            found += [dict(item.properties) for item in page.objects]
            if place.source_id or len(page.objects) < _PAGE:
                break
            after = page.objects[-1].uuid
        # A deletion beats an activation of its version.
        found.sort(key=lambda row: (-row["version"], row["active"], -row["recorded_at"].timestamp()))
        return found

    async def _newest(self, place: Place) -> dict[str, Any] | None:
        return next(iter(await self._versions(place)), None)

    async def _readable(self, place: Place, source_id: str = "") -> dict[str, list[str]]:
        """Return the generations that are read, by the model of their vectors."""
        newest: dict[str, dict[str, Any]] = {}
        for row in await self._versions(_instance(place.tenant_id, place.instance_id, source_id)):
            newest.setdefault(row["source_id"], row)
        by_model: dict[str, list[str]] = {}
        for row in newest.values():
            if row["active"]:
                by_model.setdefault(row["model"], []).append(row["generation"])
        return by_model

    async def _purge(self, place: Place, version: int, kept: str) -> None:
        """Delete a source's chunks that nobody can see, and switches that a newer one made void."""
        of = Filter.by_property("source_id").equal(place.source_id)
        old = of & Filter.by_property("version").less_or_equal(version)
        chunks = old & Filter.by_property("generation").not_equal(kept)
        client = await self._connected()
        names = list(await _told(client.collections.list_all(simple=True)))
        for name in [name for name in names if schema.is_chunks(name)]:
            rows = client.collections.use(name).with_tenant(_tenant(place))
            if await self._has(rows, place):
                await _delete_all(rows, chunks)
        before = of & Filter.by_property("version").less_than(version)
        await _delete_all(await self._collection(schema.VERSIONS, place), before)

    async def _has(self, rows: _Rows, place: Place) -> bool:
        """Return whether a tenant was ever written to: one that was not cannot be asked."""
        known = f"{rows.name}/{_tenant(place)}"
        if known not in self._known:
            if not await _told(rows.tenants.exists(_tenant(place))):
                return False
            if len(self._known) > _MAX_KNOWN:
                self._known.clear()
            self._known.add(known)
        return True

    async def _insert(self, rows: _Rows, made: list[Any]) -> None:
        # An object of an id that is there is replaced.
        told = await _told(rows.data.insert_many(made))
        if told.has_errors:
            first = next(iter(told.errors.values()))
            raise StoreAway(f"Weaviate refused {len(told.errors)} objects: {first.message}")

    async def _collection(self, name: str, place: Place) -> _Rows:
        client = await self._connected()
        if name not in self._known:
            await _told(schema.make(client, name))
            self._known.add(name)
        return client.collections.use(name).with_tenant(_tenant(place))

    async def _connected(self) -> WeaviateAsyncClient:
        async with self._connecting:
            if self._client is None:
                client = schema.new_client(self._settings)
                try:
                    await _told(client.connect())
                except StoreAway:
                    with contextlib.suppress(*_AWAY):
                        await client.close()
                    raise
                self._client = client
            return self._client


async def _asked_of(rows: _Rows, words: str, vector: list[float] | None, of: Any) -> list[Hit]:
    """Return the best chunks of one model, by meaning unless `vector` is another model's."""
    shown: dict[str, Any] = {"filters": of, "limit": _DEPTH, "return_properties": _SHOWN}
    shown["return_metadata"] = MetadataQuery(score=True)
    if vector is None:
        if not words:
            return []
        found = await _told(rows.query.bm25(words, query_properties=["terms"], **shown))
    elif not words:
        found = await _told(rows.query.near_vector(vector, include_vector=True, **shown))
    else:
        found = await _told(
            rows.query.hybrid(
                words,
                vector=vector,
                alpha=0.5,
                query_properties=["terms"],
                fusion_type=HybridFusion.RANKED,
                include_vector=True,
                **shown,
            )
        )
    return [_hit(item, vector, rank) for rank, item in enumerate(found.objects, start=1)]


async def _delete_all(rows: _Rows, where: Any) -> None:
    for _ in range(_MAX_DELETIONS):
        told = await _told(rows.data.delete_many(where=where))
        if told.failed:
            raise StoreAway(f"Weaviate did not delete {told.failed} objects")
        if not told.successful:
            return
    raise StoreAway("there is more to delete than there should be")


async def _told(call: Awaitable[T]) -> T:
    try:
        return await call
    except _AWAY as error:
        raise StoreAway(repr(error)[:500]) from error


def _instance(tenant_id: str, instance_id: str, source_id: str = "") -> Place:
    return Place(tenant_id=tenant_id, instance_id=instance_id, source_id=source_id)


def _tenant(place: Place) -> str:
    """Return Weaviate's name for an instance: ids are longer than its names may be."""
    return sha256(f"{place.tenant_id}\0{place.instance_id}".encode()).hexdigest()[:48]


def _id(name: str, of: object) -> str:
    return str(uuid5(NAMESPACE_OID, f"{name}\0{of}"))


def _properties(generation: Generation, chunk: Chunk) -> dict[str, Any]:
    return {
        "source_id": generation.place.source_id,
        "version": generation.version,
        "generation": generation.name,
        "ordinal": chunk.ordinal,
        "chunk_id": chunk_id(generation, chunk.ordinal),
        "title": chunk.title,
        "url": chunk.url,
        "section": chunk.section,
        "page": chunk.page,
        "text": chunk.text,
        # Cut as the other store cuts them: the same words are found in both.
        "terms": " ".join(terms(f"{chunk.title} {chunk.section} {chunk.text}")),
        "tokens": chunk.tokens,
    }


def _stored(item: Any) -> Stored:
    told = item.properties
    chunk = Chunk(
        ordinal=int(told["ordinal"]),
        text=told["text"],
        tokens=int(told["tokens"]),
        title=told["title"],
        url=told["url"],
        section=told["section"],
        page=int(told["page"]),
    )
    return Stored(chunk=chunk, vector=(item.vector or {}).get("default", ()))


def _hit(item: Any, vector: list[float] | None, rank: int) -> Hit:
    told = item.properties
    return Hit(
        chunk_id=told["chunk_id"],
        source_id=told["source_id"],
        score=float(item.metadata.score or 1 / (60 + rank)),
        similarity=_cosine(vector, item.vector.get("default", [])) if vector else 0.0,
        title=told["title"],
        url=told["url"],
        section=told["section"],
        page=int(told["page"]),
        text=told["text"],
    )


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        return 0.0
    size = math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / size if size else 0.0
