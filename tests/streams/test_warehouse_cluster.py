"""The migrations as they read on a cluster: what ClickHouse takes, and what must not be left out."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from schemas import rows
from streams.warehouse import cluster, grants, migrate
from streams.warehouse.cluster import CannotRender, render
from streams.warehouse.migrate import migrations

RENDERED = [text for migration in migrations() for text in migration.rendered("market")]


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    made = clickhouse_client.connect_sync(ClickHouseSettings(url=clickhouse_url), "default")
    yield made
    made.close()


@pytest.mark.parametrize("statement", RENDERED, ids=lambda text: " ".join(text.split()[:6]))
def test_clickhouse_reads_each_statement(statement: str, client: Client) -> None:
    assert client.query(
        "SELECT formatQuery({sql:String})", parameters={"sql": statement.rstrip(";")}
    ).result_rows


def test_every_table_is_replicated_spread_by_owner_and_knows_blocks_again() -> None:
    for table in rows.EVERY:
        made = [text for text in RENDERED if f"CREATE TABLE {table.name}_local ON CLUSTER market" in text]
        made += [text for text in RENDERED if f"EXISTS {table.name}_local ON CLUSTER market\n" in text]
        assert made, table.name
        for text in made:
            assert re.search(r"ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/\{shard\}/", text)
            assert "non_replicated" not in text
            assert "replicated_deduplication_window_seconds" in text
        over = re.compile(rf"CREATE TABLE (IF NOT EXISTS )?{table.name} ON CLUSTER market AS")
        assert any(over.match(text) for text in RENDERED)
    spread = [text for text in RENDERED if "ENGINE = Distributed" in text]
    assert all("cityHash64(tenant_id, " in text for text in spread)
    assert any("ReplicatedReplacingMergeTree('/clickhouse" in text for text in RENDERED)
    assert any("'{replica}', version)" in text for text in RENDERED)


def test_only_what_runs_everywhere_is_rendered() -> None:
    everywhere = [text for text in RENDERED if not text.startswith("INSERT INTO")]
    assert all(" ON CLUSTER market" in text for text in everywhere)
    with pytest.raises(CannotRender, match="OPTIMIZE"):
        render("OPTIMIZE TABLE runs", "market")
    with pytest.raises(CannotRender, match="window"):
        render("CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x", "market")


def test_one_server_has_the_files_as_they_are_and_checksums_do_not_depend_on_it() -> None:
    for migration in migrations():
        assert migration.rendered("") == migration.statements()
    assert cluster.journal("CREATE TABLE schema_migrations", "") == "CREATE TABLE schema_migrations"
    assert cluster.local("runs", "") == "runs"


def test_the_journal_and_the_grants_are_on_every_server(client: Client) -> None:
    journal = cluster.journal(migrate._JOURNAL, "market")
    made = grants.statements("runmeter", "acme", ["analyst_runs"], "grafana", "market")

    assert "'{shard}-{replica}'" in journal
    for statement in [journal, *made]:
        assert client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement}).result_rows
        assert "ON CLUSTER market" in statement
    policies = [text for text in made if "ROW POLICY" in text]
    assert len(policies) == 2 * len(rows.OF_TENANTS)


def test_a_servers_settings_take_what_statements_send(clickhouse_url: str) -> None:
    settings = ClickHouseSettings(url=clickhouse_url, database=f"sent_{uuid.uuid4().hex[:8]}")
    migrate.bring_up_to_date(settings)
    client = clickhouse_client.connect_sync(settings)
    try:
        names = "name IN ('load_balancing', 'prefer_localhost_replica', 'distributed_foreground_insert')"
        sql = f"SELECT count() FROM system.settings WHERE {names}"
        assert client.query(sql, settings=cluster.SETTINGS).result_rows == [(3,)]
    finally:
        client.command(f"DROP DATABASE {settings.database}")
        client.close()
