"""Knowledge sources of one instance with little room; what the ingestion worker says is said here by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from containers import free_ports
from control_places import Place
from control_server import Api, serving
from control_world import NOW, World
from redis.asyncio import Redis

from console_api.knowledge import progress
from console_api.knowledge.running import KnowledgeConfig
from kit.settings import EmbeddingSettings, KnowledgeSettings
from schemas.ingestion import IngestionRequest, SourceProgress

SITE = {"kind": "site", "url": "https://docs.example.com/", "max_pages": 20, "max_depth": 1}
TEXT = {"kind": "text", "title": "Returns", "text": "Send it back within 30 days."}


@asynccontextmanager
async def knowing(
    place: Place, redis_url: str, redis: Redis, world: World, blobs: Path
) -> AsyncIterator[Api]:
    """Run the API with little room; Kafka and ClickHouse are away, which must not matter to it."""
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    settings = KnowledgeSettings(
        blob_dir=str(blobs),
        max_sources=3,
        max_bytes=50_000,
        max_upload_bytes=30_000,
        max_site_pages=10,
        schedule_every_ms=3_600_000,
    )
    # Its own schedule looks once, at the start, and finds nothing: the tests look themselves.
    knowledge = KnowledgeConfig(settings, EmbeddingSettings(), place.data_dir)
    async with (
        serving(place, redis_url, nowhere, world, knowledge=knowledge) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Api(url, http, redis, world)


def sources(world: World, rest: str = "") -> str:
    return f"/instances/{world.instance_id}/sources{rest}"


async def upload(api: Api, data: bytes, name: str = "a.txt", role: Any = "owner") -> tuple[int, Any]:
    headers = {**await api.headers(role), "X-Filename": name, "Content-Type": "application/octet-stream"}
    url = f"{api.url}/api/v1{sources(api.world, ':upload')}"
    async with api.http.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def requests(world: World) -> list[IngestionRequest]:
    rows = [row for row in await world.outbox() if row.topic == "ingestion.requested"]
    return [msgspec.json.decode(row.payload, type=IngestionRequest) for row in rows]


def kept_in(blobs: Path) -> list[Path]:
    return list(blobs.iterdir()) if blobs.exists() else []


async def hear(world: World, source_id: str, status: Any, **fields: Any) -> bool:
    event = SourceProgress(
        **{
            "tenant_id": world.tenant_id,
            "org_id": world.org_id,
            "instance_id": world.instance_id,
            "source_id": source_id,
            "version": 1,
            "attempt_ms": NOW,
            "seq": 1,
            "status": status,
            "occurred_at_ms": NOW + 5,
            **fields,
        }
    )
    async with world.database.writing() as session:
        return await progress.apply(session, event)
