from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from schemas import rows
from schemas.rows import Table
from streams.warehouse import inspecting, migrate
from streams.warehouse.migrate import Migration, MigrationChanged, migrations


@pytest.fixture
def settings(clickhouse_url: str) -> ClickHouseSettings:
    return ClickHouseSettings(url=clickhouse_url, database=f"migrated_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def client(settings: ClickHouseSettings) -> Iterator[Client]:
    """A client of a database of its own, without a table in it."""
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"CREATE DATABASE {settings.database}")
    client = clickhouse_client.connect_sync(settings)
    yield client
    client.close()
    admin.command(f"DROP DATABASE {settings.database}")
    admin.close()


def written(folder: Path, **files: str) -> list[Migration]:
    """Return migrations `_0001_x="SELECT 1"` as they read from a folder."""
    for name, sql in files.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(sql)
    return migrations(folder)


def tables_of(client: Client) -> set[str]:
    return {name for (name,) in client.query("SHOW TABLES").result_rows}


def numbers_applied(client: Client) -> list[int]:
    return [n for (n,) in client.query("SELECT number FROM schema_migrations ORDER BY number").result_rows]


CREATE_A = "CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x;\n"
CREATE_B = "CREATE TABLE b (x UInt8) ENGINE = MergeTree ORDER BY x;\n"


def test_the_live_columns_are_those_the_sink_writes(client: Client) -> None:
    migrate.apply(client, migrations())

    def live(table: Table) -> list[tuple[str, str]]:
        described = client.query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {t:String} "
            "ORDER BY position",
            parameters={"t": table.name},
        )
        return [(name, kind) for name, kind in described.result_rows]

    for table in rows.ALL + rows.ROLLUPS:
        assert live(table) == list(table.columns.items()), table.name
    for table in rows.KNOWLEDGE:
        assert live(table) == [*table.columns.items(), ("recorded_at", "DateTime64(3, 'UTC')")], table.name
    expected = {table.name for table in rows.EVERY}
    assert tables_of(client) == expected | {"schema_migrations", *inspecting.views(migrations())}


def test_a_batch_sent_again_under_its_token_is_stored_once(client: Client) -> None:
    migrate.apply(client, migrations())
    windows = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND create_table_query LIKE '%non_replicated_deduplication_window%'"
    ).result_rows

    assert {name for (name,) in windows} == {table.name for table in rows.EVERY}


def test_a_second_run_applies_nothing(settings: ClickHouseSettings, client: Client) -> None:
    first = migrate.apply(client, migrations())

    second = migrate.apply(client, migrations())
    migrate.bring_up_to_date(settings)

    assert first == migrations()
    assert second == []
    assert numbers_applied(client) == [m.number for m in migrations()]


def test_only_what_is_missing_is_applied(client: Client, tmp_path: Path) -> None:
    migrate.apply(client, written(tmp_path, _0001_a=CREATE_A))

    applied = migrate.apply(client, written(tmp_path, _0002_b=CREATE_B))

    assert [m.name for m in applied] == ["0002_b"]
    assert numbers_applied(client) == [1, 2]
    assert tables_of(client) == {"a", "b", "schema_migrations"}


def test_a_changed_file_stops_everything_before_anything_is_touched(client: Client, tmp_path: Path) -> None:
    migrate.apply(client, written(tmp_path, _0001_a=CREATE_A))
    changed = written(tmp_path, _0001_a=CREATE_A.replace("UInt8", "UInt16"), _0002_b=CREATE_B)

    with pytest.raises(MigrationChanged, match="0001_a"):
        migrate.apply(client, changed)

    assert numbers_applied(client) == [1]
    assert tables_of(client) == {"a", "schema_migrations"}


@pytest.mark.parametrize("names", [("_0002_b",), ("_0001_a", "_0003_c"), ("_0001_a", "_0001_b")])
def test_a_gap_or_a_double_in_the_numbers_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="numbered"):
        written(tmp_path, **dict.fromkeys(names, "SELECT 1"))


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    sql = "-- a; comment\nSELECT ';', 1;\n  -- another\nSELECT\n  2 ;\n\nSELECT 3"

    assert Migration(1, "x", sql).statements() == ["SELECT ';', 1", "SELECT\n  2", "SELECT 3"]


def test_the_products_migrations_are_in_order_and_say_something() -> None:
    found = migrations()

    assert [m.number for m in found] == list(range(1, len(found) + 1))
    assert all(m.statements() for m in found)
