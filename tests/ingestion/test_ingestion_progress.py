"""Progress is told at every stage, not too often, and goes on being told while a stage takes long."""

from __future__ import annotations

import asyncio

from waiting import eventually

from ingestion.progress import Progress
from kit.clock import now_ms
from schemas.ingestion import IngestionRequest, SourceProgress

REQUEST = IngestionRequest(
    tenant_id="tenant_1",
    org_id="org_1",
    instance_id="inst_1",
    source_id="src_1",
    version=1,
    kind="text",
    requested_at_ms=1,
)


def listening() -> tuple[Progress, list[SourceProgress]]:
    told: list[SourceProgress] = []

    async def publish(event: SourceProgress) -> None:
        told.append(event)

    return Progress(REQUEST, publish, now_ms), told


async def test_steps_within_a_stage_are_told_now_and_then_and_stages_always() -> None:
    progress, told = listening()

    for done in range(100):
        await progress.moved("embedding", done, 100, "chunks")
    await progress.moved("indexing")

    assert [event.status for event in told] == ["embedding", "indexing"]
    assert [event.seq for event in told] == [1, 2]


async def test_a_stage_that_takes_long_is_told_again_as_it_was() -> None:
    progress, told = listening()

    async with progress.beating(every_s=0.02):
        await progress.moved("embedding", 64, 210, "chunks")

        async def told_again() -> bool:
            return len(told) >= 3

        await eventually(told_again, "it is told again")

    assert {(event.status, event.done, event.total) for event in told} == {("embedding", 64, 210)}
    assert [event.seq for event in told] == list(range(1, len(told) + 1))


async def test_nothing_is_told_after_the_end() -> None:
    progress, told = listening()

    async with progress.beating(every_s=0):
        await progress.tell("ready")
        for _ in range(50):
            await asyncio.sleep(0)  # as many turns for beats

    assert [event.status for event in told] == ["ready"]
