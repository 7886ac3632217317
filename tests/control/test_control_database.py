"""Migrations, and what the database itself guarantees."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from control_places import Place
from control_world import NOW, World
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, StatementError

from console_api.database.engine import Database, connect, url_of
from console_api.database.migrate import drift, migrate
from console_api.database.tables import Plan, WebhookDelivery
from kit.settings import DatabaseSettings


async def test_migrations_make_exactly_the_tables_of_the_models(empty_place: Place) -> None:
    database = empty_place.open()
    assert len(await drift(database)) > 0

    await migrate(database)

    assert await drift(database) == []
    await database.close()


async def test_several_processes_migrate_at_once(empty_place: Place) -> None:
    databases = [empty_place.open() for _ in range(3)]

    async with asyncio.TaskGroup() as group:
        for database in databases:
            group.create_task(migrate(database))

    assert await drift(databases[0]) == []
    for database in databases:
        await database.close()


async def test_drift_is_found(database: Database) -> None:
    async with database.writing() as session:
        await session.execute(text("ALTER TABLE orgs ADD COLUMN nobody_knows_me INTEGER"))

    assert "nobody_knows_me" in str(await drift(database))


async def test_a_transaction_that_raises_leaves_nothing(world: World) -> None:
    async def fail() -> None:
        async with world.database.writing() as session:
            session.add(delivery("evt_1"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with world.database.reading() as session:
        assert await session.get(WebhookDelivery, ("stripe", "evt_1")) is None


async def test_a_delivery_is_recorded_once(world: World) -> None:
    async with world.database.writing() as session:
        session.add(delivery("evt_1"))
    with pytest.raises(IntegrityError):
        async with world.database.writing() as session:
            session.add(delivery("evt_1"))


async def test_foreign_keys_hold(world: World) -> None:
    with pytest.raises(IntegrityError):
        await world.add_instance("Orphan", order_id="order_none")


async def test_many_writers_at_once_all_commit(world: World) -> None:
    async def write(number: int) -> None:
        async with world.database.writing() as session:
            plan = await session.get(Plan, world.plan_id)
            assert plan is not None
            session.add(delivery(f"evt_{number}"))

    await asyncio.gather(*(write(number) for number in range(40)))

    async with world.database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM webhook_deliveries")) == 40


async def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    database = connect(DatabaseSettings(), tmp_path / "new")
    async with database.reading() as session:
        found = [
            await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    await database.close()

    assert found == ["wal", 1, 5_000]


async def test_a_new_file_is_opened_once_another_process_has_written_it(tmp_path: Path) -> None:
    database = connect(DatabaseSettings(), tmp_path)
    impatient = connect(DatabaseSettings(busy_timeout_ms=200), tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "control.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError):
            await _journal(impatient)
        opening = asyncio.create_task(_journal(database))
        await asyncio.wait({opening}, timeout=0.3)
        other.execute("COMMIT")
        assert await opening == "wal"
    for opened in (database, impatient):
        await opened.close()


async def _journal(database: Database) -> object:
    async with database.reading() as session:
        return await session.scalar(text("PRAGMA journal_mode"))


async def test_what_does_not_fit_its_type_is_not_stored(world: World) -> None:
    async def store() -> None:
        async with world.database.writing() as session:
            plan = await session.get(Plan, world.plan_id)
            assert plan is not None
            plan.entitlements = {"tools": []}  # type: ignore[assignment]

    with pytest.raises(StatementError, match="models"):
        await store()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "sqlite+aiosqlite:///data/control.db"),
        ("sqlite:////data/x.db", "sqlite+aiosqlite:////data/x.db"),
        ("postgresql://u@h/db", "postgresql+asyncpg://u@h/db"),
        ("postgres://u@h/db", "postgresql+asyncpg://u@h/db"),
        ("postgresql+psycopg://u@h/db", "postgresql+asyncpg://u@h/db"),
    ],
)
def test_a_url_is_given_our_driver(given: str, wanted: str) -> None:
    assert str(url_of(DatabaseSettings(url=SecretStr(given)), Path("data"))) == wanted


@pytest.mark.parametrize("given", ["mysql://h/db", "nonsense"])
def test_a_wrong_url_names_the_variable(given: str) -> None:
    with pytest.raises(SystemExit, match="RUNMETER_DATABASE_URL"):
        url_of(DatabaseSettings(url=SecretStr(given)), Path())


def delivery(event_id: str) -> WebhookDelivery:
    return WebhookDelivery(
        provider="stripe", event_id=event_id, kind="invoice.paid", payload="{}", received_at_ms=NOW
    )
