"""Fixtures: a fast and a slow data plane over the session's Kafka and Redis."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from gateway_rig import Plane, Service, Tenant

from kit import redis_client
from kit.settings import KafkaSettings, RedisSettings
from metering.prices import PriceBook
from schemas import keys
from stack import seed, topics

sys.path.append(str(Path(__file__).parents[1] / "kit"))  # kafka_gate


@dataclass(frozen=True)
class Side:
    """A gateway with its runner and its model."""

    gateway: Service
    runner: Service
    provider: Service


@pytest_asyncio.fixture(scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory, kafka: str, redis_url: str) -> AsyncIterator[Plane]:
    folder = tmp_path_factory.mktemp("plane")
    kafka_settings, redis_settings = KafkaSettings(bootstrap=kafka), RedisSettings(url=redis_url)
    await topics.create_fences([], kafka_settings, redis_settings)
    demo = seed.access(folder)
    await seed.write(demo, redis_settings, kafka_settings)
    redis = redis_client.connect(redis_settings)
    made = Plane(folder, kafka, redis_url, redis)
    made.tenant_id = demo.tenant_id
    version = await redis.get(keys.current_price_version(demo.tenant_id))
    made.book = msgspec.json.decode(await redis.get(keys.price_book(version.decode())), type=PriceBook)
    await made.log.start()
    yield made
    await made.close()
    await redis.aclose()


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
