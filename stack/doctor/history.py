"""ClickHouse and the control plane's database: reachable, and migrated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from clickhouse_connect.driver.client import Client

from console_api.control.outbox import repository as outbox
from console_api.database import engine
from console_api.database.engine import Database
from console_api.database.migrate import drift
from kit import clickhouse_client
from kit.settings import DatabaseSettings, load
from stack.doctor.findings import Finding, Place, ok, problem, warning
from streams.warehouse import inspecting
from streams.warehouse.migrate import migrations

_SKEW_S = 1.0


async def look(place: Place) -> AsyncIterator[Finding]:
    """Yield what there is to say of ClickHouse. Raises `ClickHouseError` when it cannot be reached."""
    client = await asyncio.to_thread(clickhouse_client.connect_sync, place.clickhouse, "default")
    try:
        yield ok("clickhouse", f"{client.server_version} at {place.clickhouse.url}")
        databases = {row[0] for row in (await asyncio.to_thread(client.query, "SHOW DATABASES")).result_rows}
        yield await asyncio.to_thread(_skew, client)
    finally:
        client.close()
    if place.clickhouse.database not in databases:
        yield problem("history", "there is no database", "run `runmeter warehouse apply`")
        return
    yield await asyncio.to_thread(_migrated, place)


def _skew(client: Client) -> Finding:
    said = client.query("SELECT toUnixTimestamp64Milli(now64(3))").result_rows[0][0] / 1000
    apart = said - time.time()
    if abs(apart) > _SKEW_S:
        return problem("clock of ClickHouse", f"{apart:+.1f} s apart", "keep all clocks by NTP; see chrony")
    return ok("clock of ClickHouse", "agrees with this machine")


def _migrated(place: Place) -> Finding:
    client = clickhouse_client.connect_sync(place.clickhouse)
    try:
        wrong = inspecting.differences(client, migrations())
    finally:
        client.close()
    if wrong:
        return problem(
            "history",
            f"{len(wrong)} differences, such as {wrong[0]}",
            "`runmeter warehouse status` lists them, `runmeter warehouse apply` adds what is missing",
        )
    return ok("history", "tables and views are as the code expects")


async def look_at_database(place: Place) -> AsyncIterator[Finding]:
    """Yield what there is to say of the control plane's database. Raises SQLAlchemy's errors."""
    settings = load(DatabaseSettings)
    url = engine.url_of(settings, place.data_dir)
    is_file = url.get_backend_name() == "sqlite" and url.database
    if is_file and not await asyncio.to_thread(Path(str(url.database)).exists):
        yield problem("database", f"there is no {url.database}", "run `python -m console_api.database`")
        return
    database = engine.connect(settings, place.data_dir)
    try:
        if wrong := await drift(database):
            yield problem(
                "database",
                f"{len(wrong)} tables or columns differ from the code's",
                "run `python -m console_api.database`; `python -m console_api` does so at its start",
            )
            return
        yield ok("database", f"{url.get_backend_name()}, migrated")
        yield await _outbox(database)
    finally:
        await database.close()


async def _outbox(database: Database) -> Finding:
    async with database.reading() as session:
        parked = await outbox.parked(session)
    if parked:
        return warning(
            "outbox",
            f"{parked:,} changes can never be sent on",
            "see docs/operations.md#changes-are-not-sent-on",
        )
    return ok("outbox", "nothing was put aside")
