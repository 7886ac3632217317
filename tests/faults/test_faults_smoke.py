"""A short slice of `make faults`: one stack, little load, four faults that tell on most mistakes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from events import Duplicates, SameKey
from processes import Kill
from stores import KillStore
from trial import Fault, Plan, attempt
from world import World, world

#: Fixed, so that a failure can be repeated; `make faults` chooses its own.
SEED = 7
PLAN = Plan(runs=20, clients=6)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[World]:
    async with world() as started:
        yield started


@pytest.mark.parametrize(
    "fault",
    [Kill("metering"), KillStore("valkey"), Duplicates(), SameKey()],
    ids=lambda fault: fault.name,
)
async def test_every_acknowledged_run_is_charged_once_though(running: World, fault: Fault) -> None:
    verdict = await attempt(running, fault, random.Random(f"{SEED} {fault.name}"), PLAN)

    assert verdict.runs >= PLAN.runs
    assert [str(difference) for difference in verdict.differences] == []
