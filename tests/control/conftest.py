"""The control plane on SQLite and on PostgreSQL, with the same tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import postgres_server
import pytest
import pytest_asyncio
from containers import free_ports, redis_at
from control_places import SQLITE, Place, at, create_database
from control_server import Api, serving
from control_world import World
from market import Market, opened
from orders_rig import Shop
from redis.asyncio import Redis

from console_api.database.engine import Database, connect
from console_api.database.migrate import migrate
from kit import redis_client
from kit.clock import new_id


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL's URL; without one, the tests that want it are skipped, saying why."""
    try:
        with postgres_server.running() as url:
            yield url
    except postgres_server.NotThere as error:
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")


@pytest_asyncio.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    folder = tmp_path_factory.mktemp("sqlite")
    database = connect(SQLITE, folder)
    await migrate(database)
    await database.close()
    return folder / "control.db"


@pytest_asyncio.fixture(scope="session")
async def postgres_template(postgres: str) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    await create_database(postgres, "template_runmeter")
    database = connect(at(postgres, "template_runmeter"), Path())
    await migrate(database)
    await database.close()
    return "template_runmeter"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    return str(request.param)


@pytest.fixture
def template(backend: str, request: pytest.FixtureRequest) -> str:
    """What a migrated database is copied from."""
    return str(request.getfixturevalue(f"{'postgres' if backend == 'postgresql' else backend}_template"))


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest) -> str:
    """The URL of the server, empty for a file."""
    return str(request.getfixturevalue("postgres")) if backend == "postgresql" else ""


@pytest_asyncio.fixture
async def empty_place(server: str, tmp_path: Path) -> Place:
    """A database without tables."""
    return await _new(server, "template0", tmp_path) if server else Place(SQLITE, tmp_path)


@pytest_asyncio.fixture
async def place(server: str, template: str, tmp_path: Path) -> Place:
    """A migrated database."""
    if server:
        return await _new(server, template, tmp_path)
    shutil.copy(template, tmp_path / "control.db")
    return Place(SQLITE, tmp_path)


async def _new(server: str, template: str, tmp_path: Path) -> Place:
    name = new_id("db")
    await create_database(server, name, template)
    return Place(at(server, name), tmp_path)


@pytest_asyncio.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    opened = place.open()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def world(database: Database) -> World:
    return await World.create(database)


@pytest_asyncio.fixture
async def shop(place: Place, world: World) -> Shop:
    return await Shop.open(place, world)


@pytest_asyncio.fixture(scope="session")
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_at(redis_url))
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def api(place: Place, redis_url: str, redis: Redis, world: World) -> AsyncIterator[Api]:
    """The API over the test's database. Kafka is away, which must not matter to it."""
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    async with serving(place, redis_url, nowhere, world) as url, aiohttp.ClientSession() as http:
        yield Api(url, http, redis, world)


@pytest_asyncio.fixture
async def market(stack: dict[str, Any]) -> AsyncIterator[Market]:
    async with opened(stack) as made:
        yield made
