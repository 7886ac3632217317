"""A warehouse of its own for each test, with the product's tables."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from worker_rig import Rig

from kit import clickhouse_client
from kit.settings import ClickHouseSettings, KafkaSettings
from kit.vectors.clickhouse import ClickHouseVectors
from streams.warehouse import migrate


@pytest.fixture
def clickhouse(clickhouse_url: str) -> Iterator[ClickHouseSettings]:
    settings = ClickHouseSettings(url=clickhouse_url, database=f"knowledge_{uuid.uuid4().hex[:12]}")
    migrate.bring_up_to_date(settings)
    yield settings
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"DROP DATABASE {settings.database}")
    admin.close()


@pytest_asyncio.fixture
async def vectors(clickhouse: ClickHouseSettings) -> AsyncIterator[ClickHouseVectors]:
    store = ClickHouseVectors(clickhouse)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def rig(
    kafka: str, redis_url: str, clickhouse: ClickHouseSettings, tmp_path: Path
) -> AsyncIterator[Rig]:
    # A database that no other test's control plane projects into, and marks as whole.
    own = redis_url.removesuffix("/0") + "/1"
    made = Rig(KafkaSettings(bootstrap=kafka), own, clickhouse, tmp_path)
    made.settings["RUNMETER_INGESTION_PRIVATE_HOSTS"] = "127.0.0.1"
    made.settings["RUNMETER_INGESTION_CRAWL_DELAY_MS"] = "0"
    await made.prices()
    await made.owner()
    await made.wallet(balance=1_000_000_000)
    yield made
    await made.close()
