"""Chunks in ClickHouse: exact cosine over an instance's own chunks, BM25 over their words, fused.

An instance has thousands of chunks, not millions: reading all of them takes milliseconds and misses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from kit.vectors.fusion import fuse
from kit.vectors.port import MAX_K, Chunk, Generation, Hit, Place, Question, StoreAway, Stored, chunk_id
from kit.vectors.terms import asked, terms
from schemas import rows
from schemas.rows import Table

_AWAY = (ClickHouseError, aiohttp.ClientError, TimeoutError, OSError)
#: How deep each ranking goes before they are fused.
_DEPTH = 50

#: Of each source the generation of its highest version; a deletion beats an activation of its version.
_NEWEST = """
SELECT source_id, version, generation, active, chunks, tokens, pages, model
FROM knowledge_versions
WHERE tenant_id = {tenant_id:String} AND instance_id = {instance_id:String}
  AND ({source_id:String} = '' OR source_id = {source_id:String})
ORDER BY source_id, version DESC, active, recorded_at DESC LIMIT 1 BY source_id
"""
# Only constants of this file are put into these texts; what callers say is bound.
_READABLE = f"""
tenant_id = {{tenant_id:String}} AND instance_id = {{instance_id:String}}
AND ({{source_id:String}} = '' OR source_id = {{source_id:String}})
AND generation IN (SELECT generation FROM ({_NEWEST}) WHERE active)
"""  # noqa: S608
_BY_MEANING = f"""
SELECT chunk_id, cosineDistance(vector, {{vector:Array(Float32)}}) AS distance
FROM knowledge_chunks
WHERE {_READABLE} AND model = {{model:String}} AND length(vector) = length({{vector:Array(Float32)}})
ORDER BY distance, chunk_id LIMIT 1 BY chunk_id LIMIT {_DEPTH}
"""  # noqa: S608
# BM25 with k1 = 1.2, b = 0.75. How rare a word is, is asked of the instance's own chunks.
_BY_WORD = f"""
WITH found AS (
    SELECT chunk_id, length(terms) AS size,
           arrayMap(word -> countEqual(terms, word), {{words:Array(String)}}) AS counts
    FROM knowledge_chunks WHERE {_READABLE} LIMIT 1 BY chunk_id
),
corpus AS (
    SELECT count() AS known, avg(size) AS mean, sumForEach(arrayMap(n -> n > 0, counts)) AS having FROM found
)
SELECT chunk_id, arraySum((n, of) ->
    log(1 + (known - of + 0.5) / (of + 0.5))
    * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * size / greatest(mean, 1))), counts, having) AS score
FROM found CROSS JOIN corpus WHERE score > 0
ORDER BY score DESC, chunk_id LIMIT {_DEPTH}
"""  # noqa: S608
_CHUNKS = f"""
SELECT chunk_id, source_id, title, url, section, page, text FROM knowledge_chunks
WHERE {_READABLE} AND chunk_id IN {{ids:Array(String)}} LIMIT 1 BY chunk_id
"""  # noqa: S608
_STORED = """
SELECT ordinal, text, tokens, title, url, section, page, %s AS vector FROM knowledge_chunks
WHERE tenant_id = {tenant_id:String} AND instance_id = {instance_id:String}
  AND source_id = {source_id:String} AND generation = {generation:String}
  AND ordinal >= {begin:UInt32} AND ordinal < {end:UInt32}
ORDER BY ordinal LIMIT 1 BY ordinal
"""
_COUNT = f"SELECT uniqExact(chunk_id) FROM knowledge_chunks WHERE {_READABLE}"  # noqa: S608


class ClickHouseVectors:
    """A `VectorStore`. Connects when it is first needed."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def upsert(
        self, generation: Generation, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]
    ) -> None:
        if not chunks:
            return
        made = [_row(generation, chunk, vector) for chunk, vector in zip(chunks, vectors, strict=True)]
        token = f"{generation.name}:{chunks[0].ordinal}-{chunks[-1].ordinal}"
        await self._insert(rows.KNOWLEDGE_CHUNKS, made, token)

    async def activate(self, generation: Generation) -> None:
        await self._switch(generation, active=True)
        place = generation.place
        # What is read now was decided by the switch; this only frees what nobody can see. A generation that
        # came too late is not the newest, and goes as well.
        newest = await self._newest(place)
        kept = newest.name if newest is not None else ""
        await self._purge(place, generation.version, kept)

    async def discard(self, generation: Generation) -> None:
        await self._command(
            "ALTER TABLE knowledge_chunks DELETE WHERE tenant_id = {tenant_id:String} "
            "AND instance_id = {instance_id:String} AND source_id = {source_id:String} "
            "AND generation = {generation:String}",
            {**_of(generation.place), "generation": generation.name},
        )

    async def active(self, place: Place) -> Generation | None:
        return await self._newest(place)

    async def chunks(
        self, generation: Generation, begin: int, limit: int, *, vectors: bool = False
    ) -> list[Stored]:
        of = {**_of(generation.place), "generation": generation.name, "begin": begin, "end": begin + limit}
        found = await self._rows(_STORED % ("vector" if vectors else "[]"), of)
        return [_stored(row) for row in found]

    async def delete(self, place: Place, version: int) -> None:
        gone = Generation(place=place, version=version, attempt="deleted", model="")
        await self._switch(gone, active=False)
        await self._purge(place, version, "")

    async def search(self, question: Question) -> list[Hit]:
        whose = {"tenant_id": question.tenant_id, "instance_id": question.instance_id}
        of: dict[str, Any] = {**whose, "source_id": ""}
        words = asked(question.text)
        near, said = await asyncio.gather(
            self._rows(_BY_MEANING, {**of, "vector": list(question.vector), "model": question.model}),
            self._rows(_BY_WORD, {**of, "words": words}) if words else _nothing(),
        )
        ranked = fuse([[row[0] for row in near], [row[0] for row in said]])[: min(question.k, MAX_K)]
        if not ranked:
            return []
        found = await self._rows(_CHUNKS, {**of, "ids": [name for name, _ in ranked]})
        by_id, distances = {row[0]: row for row in found}, dict(near)
        return [
            _hit(by_id[name], score, 1 - distances[name] if name in distances else 0)
            for name, score in ranked
            if name in by_id
        ]

    async def count(self, tenant_id: str, instance_id: str, source_id: str = "") -> int:
        of = {"tenant_id": tenant_id, "instance_id": instance_id, "source_id": source_id}
        found = await self._rows(_COUNT, of)
        return int(found[0][0])

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _switch(self, generation: Generation, *, active: bool) -> None:
        row = _version_row(generation, active=active)
        token = f"{generation.name}:{active}"
        await self._insert(rows.KNOWLEDGE_VERSIONS, [row], token)

    async def _newest(self, place: Place) -> Generation | None:
        """Return what is read of a source."""
        found = await self._rows(_NEWEST, _of(place))
        if not found or not found[0][3]:
            return None
        _, version, name, _, chunks, tokens, pages, model = found[0]
        return Generation(
            place=place,
            version=int(version),
            attempt=str(name).rpartition(":")[2],
            model=str(model),
            chunks=int(chunks),
            tokens=int(tokens),
            pages=int(pages),
        )

    async def _purge(self, place: Place, version: int, kept: str) -> None:
        await self._command(
            "ALTER TABLE knowledge_chunks DELETE WHERE tenant_id = {tenant_id:String} "
            "AND instance_id = {instance_id:String} AND source_id = {source_id:String} "
            "AND version <= {version:UInt64} AND generation != {kept:String}",
            {**_of(place), "version": version, "kept": kept},
        )

    async def _rows(self, sql: str, parameters: dict[str, Any]) -> Sequence[Any]:
        cap_s = self._settings.query_timeout_ms / 1000
        try:
            async with asyncio.timeout(cap_s + 2):
                client = await self._connected()
                settings = {"max_execution_time": cap_s}
                found = await client.query(sql, parameters=parameters, settings=settings)
        except _AWAY as error:
            raise StoreAway(repr(error)) from error
        return list(found.result_rows)

    async def _insert(self, table: Table, made: list[Any], token: str) -> None:
        try:
            client = await self._connected()
            await client.insert(
                table.name,
                made,
                column_names=list(table.columns),
                column_type_names=list(table.columns.values()),
                settings={"insert_deduplicate": 1, "async_insert": 0, "insert_deduplication_token": token},
            )
        except _AWAY as error:
            raise StoreAway(repr(error)) from error

    async def _command(self, sql: str, parameters: dict[str, Any]) -> None:
        try:
            client = await self._connected()
            # Waits until it is done: what was deleted is not there any more.
            await client.command(sql, parameters=parameters, settings={"mutations_sync": 2})
        except _AWAY as error:
            raise StoreAway(repr(error)) from error

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_client.connect(self._settings)
            return self._client


async def _nothing() -> Sequence[Any]:
    return []


def _of(place: Place) -> dict[str, Any]:
    return {
        "tenant_id": place.tenant_id,
        "instance_id": place.instance_id,
        "source_id": place.source_id,
    }


def _row(generation: Generation, chunk: Chunk, vector: Sequence[float]) -> list[Any]:
    return [
        *_of(generation.place).values(),
        generation.version,
        generation.name,
        chunk.ordinal,
        chunk_id(generation, chunk.ordinal),
        *(chunk.title, chunk.url, chunk.section, chunk.page, chunk.text),
        terms(f"{chunk.title} {chunk.section} {chunk.text}"),
        chunk.tokens,
        generation.model,
        list(vector),
    ]


def _version_row(generation: Generation, *, active: bool) -> list[Any]:
    counts = (generation.chunks, generation.tokens, generation.pages)
    of = _of(generation.place).values()
    return [*of, generation.version, generation.name, active, *counts, generation.model]


def _stored(row: Any) -> Stored:
    ordinal, text, tokens, title, url, section, page, vector = row
    chunk = Chunk(
        ordinal=int(ordinal),
        text=text,
        tokens=int(tokens),
        title=title,
        url=url,
        section=section,
        page=int(page),
    )
    return Stored(chunk=chunk, vector=vector)


def _hit(row: Any, score: float, similarity: float) -> Hit:
    name, source_id, title, url, section, page, text = row
    return Hit(
        chunk_id=name,
        source_id=source_id,
        score=score,
        similarity=similarity,
        title=title,
        url=url,
        section=section,
        page=int(page),
        text=text,
    )
