"""Fixtures: a fast and a slow data plane over the session's Kafka and Redis."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from equipped_rig import Equipped, equip, warehouse_of
from gateway_rig import Plane, Service, Tenant, open_plane

sys.path.append(str(Path(__file__).parents[1] / "kit"))  # kafka_gate


@dataclass(frozen=True)
class Side:
    """A gateway with its runner and its model."""

    gateway: Service
    runner: Service
    provider: Service


@pytest_asyncio.fixture(scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory, kafka: str, redis_url: str) -> AsyncIterator[Plane]:
    async with open_plane(tmp_path_factory.mktemp("plane"), kafka, redis_url) as made:
        yield made


async def _side(plane: Plane, time_scale: float, **runner_settings: str) -> Side:
    provider = await plane.provider(time_scale)
    runner = await plane.runner(provider, **runner_settings)
    return Side(await plane.gateway(runner), runner, provider)


@pytest_asyncio.fixture(scope="session")
async def sides(plane: Plane) -> tuple[Side, Side]:
    fast, slow = await asyncio.gather(
        _side(plane, 0, RUNNER_MODEL_TIMEOUT_MS="1000", RUNNER_MAX_STEPS="3"),
        _side(plane, 1, RUNNER_REPORT_EVERY_MS="200"),
    )
    return fast, slow


@pytest.fixture(scope="session")
def fast(sides: tuple[Side, Side]) -> Side:
    """The model answers at once, and may take a second at most."""
    return sides[0]


@pytest.fixture(scope="session")
def slow(sides: tuple[Side, Side]) -> Side:
    """The model writes 80 tokens a second."""
    return sides[1]


@pytest_asyncio.fixture(scope="session")
async def tenant(plane: Plane) -> Tenant:
    """An instance with plenty of credits."""
    return await plane.tenant()


@pytest_asyncio.fixture(scope="session")
async def equipped(plane: Plane, fast: Side, clickhouse_url: str) -> AsyncIterator[Equipped]:
    """A gateway whose instances may have knowledge and connectors."""
    with warehouse_of(clickhouse_url) as warehouse:
        async with equip(plane, fast.provider, warehouse) as made:
            yield made
