"""Sources that are read anew by themselves: when their time has come, and for another model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from control_places import Place
from control_server import Api
from control_world import NOW, World
from knowledge_rig import SITE, TEXT, hear, knowing, requests, sources
from redis.asyncio import Redis

from console_api.control.plane import ControlPlane
from console_api.knowledge.schedule import Schedule
from kit.embeddings import LOCAL_MODEL
from kit.settings import KnowledgeSettings


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest_asyncio.fixture
async def api(place: Place, redis_url: str, redis: Redis, world: World, blobs: Path) -> AsyncIterator[Api]:
    async with knowing(place, redis_url, redis, world, blobs) as api:
        yield api


def schedule(world: World, model: str = LOCAL_MODEL) -> Schedule:
    return Schedule(cast(ControlPlane, world), KnowledgeSettings(max_site_pages=10), model)


async def test_a_site_is_read_anew_when_its_time_has_come_and_once(api: Api, world: World) -> None:
    site = {**SITE, "resync_hours": 24}
    source_id = (await api("POST", sources(world), site)).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    assert await schedule(world).turn(models=True) == 0

    world.clock.at_ms += 24 * 3_600_000 + 10

    assert await schedule(world).turn(models=True) == 1
    assert await schedule(world).turn(models=True) == 0
    assert [asked.version for asked in await requests(world)] == [1, 2]
    shown = (await api("GET", sources(world, f"/{source_id}"))).body
    assert (shown["status"], shown["next_sync_ms"]) == ("queued", 0)
    assert await hear(world, source_id, "failed", version=2, error_code="unreachable")
    shown = (await api("GET", sources(world, f"/{source_id}"))).body
    assert shown["next_sync_ms"] == NOW + 5 + 24 * 3_600_000  # a failure is tried again, too


async def test_how_often_a_site_is_read_anew_can_be_changed(api: Api, world: World) -> None:
    site = (await api("POST", sources(world), SITE)).body["source_id"]
    text = (await api("POST", sources(world), TEXT)).body["source_id"]

    changed = await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 2})

    assert (changed.status, changed.body["next_sync_ms"]) == (200, NOW + 2 * 3_600_000)
    never = await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 0})
    assert never.body["next_sync_ms"] == 0
    assert (await api("PATCH", sources(world, f"/{text}"), {"resync_hours": 2})).status == 409
    assert (await api("PATCH", sources(world, f"/{site}"), {"resync_hours": 2}, role="viewer")).status == 403
    assert (await api("POST", sources(world), {**TEXT, "resync_hours": 2})).status == 422


async def test_a_new_embedding_model_has_every_source_embedded_anew_once(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), TEXT)).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)

    assert await schedule(world, "new-model").turn(models=False) == 0
    assert await schedule(world, "new-model").turn(models=True) == 1
    await hear(world, source_id, "ready", version=2, model=LOCAL_MODEL)  # a worker with another setting

    assert await schedule(world, "new-model").turn(models=True) == 0
    assert [asked.version for asked in await requests(world)] == [1, 2]


async def test_an_instance_that_has_ended_learns_nothing_any_more(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), {**SITE, "resync_hours": 1})).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    await world.set_status("ended")
    world.clock.at_ms += 3_600_010

    await schedule(world, "new-model").turn(models=True)

    assert [asked.version for asked in await requests(world)] == [1]


async def test_what_is_due_of_a_suspended_instance_waits_until_it_is_resumed(api: Api, world: World) -> None:
    source_id = (await api("POST", sources(world), {**SITE, "resync_hours": 1})).body["source_id"]
    await hear(world, source_id, "ready", model=LOCAL_MODEL)
    await world.set_status("suspended")
    world.clock.at_ms += 3_600_010

    assert await schedule(world, "new-model").turn(models=True) == 0

    await world.set_status("active")
    assert await schedule(world, "new-model").turn(models=True) == 1
    [_, asked] = await requests(world)
    assert (asked.version, asked.max_pages, asked.max_bytes) == (2, 10, KnowledgeSettings().max_bytes)
