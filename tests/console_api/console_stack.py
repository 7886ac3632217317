"""Fixtures: the API on a free port over real stores. Shared with the tests of the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World
from containers import listener, redis_at
from redis.asyncio import Redis

from console_api.app import Config, create_app
from kit import clickhouse_client, redis_client
from kit.clock import new_id
from kit.keep_alive import KEEP_ALIVE_S
from kit.settings import ClickHouseSettings, ConsoleApiSettings, KafkaSettings

MIGRATIONS = Path(__file__).parents[2] / "streams" / "warehouse" / "migrations"


@asynccontextmanager
async def serving(config: Config, port: int = 0) -> AsyncIterator[str]:
    """Serve the app in this process, by default on a free port; yield its base URL."""
    listening = listener(port)
    app = create_app(config)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=3)
    )
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await app.state.live.close()
        server.should_exit = True
        await task
        listening.close()


@pytest.fixture(scope="session")
def api_settings() -> ConsoleApiSettings:
    return ConsoleApiSettings(
        live_interval_ms=50,
        live_heartbeat_s=1,
        live_max_lifetime_s=60,
        allowed_origins="https://console.example.com, https://other.example.com",
    )


@pytest_asyncio.fixture(scope="session")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_at(redis_url))
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="session")
async def clickhouse_database(clickhouse_url: str) -> str:
    """A database of this test session with every migration applied."""
    name = new_id("console")
    admin = await clickhouse_client.connect(ClickHouseSettings(url=clickhouse_url, database="default"))
    await admin.command(f"CREATE DATABASE {name}")
    await admin.close()
    client = await clickhouse_client.connect(ClickHouseSettings(url=clickhouse_url, database=name))
    for path in sorted(MIGRATIONS.glob("*.sql")):
        lines = [line for line in path.read_text().splitlines() if not line.strip().startswith("--")]
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                await client.command(statement)
    await client.close()
    return name


@pytest.fixture(scope="session")
def config(
    redis_url: str, clickhouse_url: str, clickhouse_database: str, api_settings: ConsoleApiSettings
) -> Config:
    return Config(
        api=api_settings,
        redis=redis_at(redis_url),
        clickhouse=ClickHouseSettings(url=clickhouse_url, database=clickhouse_database),
        kafka=KafkaSettings(),
    )


@pytest_asyncio.fixture(scope="session")
async def clickhouse(config: Config) -> AsyncIterator[AsyncClient]:
    client = await clickhouse_client.connect(config.clickhouse)
    yield client
    await client.close()


@pytest_asyncio.fixture(scope="session")
async def base_url(config: Config) -> AsyncIterator[str]:
    async with serving(config) as url:
        yield url


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def world(redis: Redis) -> World:
    """A new tenant with one org, one token and one instance, in a Redis shared with other tests."""
    return await World.create(redis)
