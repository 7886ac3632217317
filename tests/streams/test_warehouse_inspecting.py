"""The warehouse's schema: how it stands, what is missing, what differs, and who may read it."""

from __future__ import annotations

import re
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from console_api.analysts.guard import VIEWS
from kit import clickhouse_client
from kit.settings import ClickHouseSettings
from stack import warehouse
from streams.warehouse import grants, inspecting, migrate
from streams.warehouse.migrate import migrations


@pytest.fixture
def settings(clickhouse_url: str) -> ClickHouseSettings:
    return ClickHouseSettings(url=clickhouse_url, database=f"inspected_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def client(settings: ClickHouseSettings) -> Iterator[Client]:
    """An empty database."""
    admin = clickhouse_client.connect_sync(settings, "default")
    admin.command(f"CREATE DATABASE {settings.database}")
    admin.close()
    made = clickhouse_client.connect_sync(settings)
    yield made
    made.close()


def test_what_is_missing_is_said_and_not_done(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert {state.state for state in inspecting.states(client, migrations())} == {"missing"}
    assert warehouse.status(client) == 1
    assert warehouse.dry_run(client) == 0
    printed = capsys.readouterr().out
    assert "missing  0001_usage" in printed
    assert "CREATE VIEW analyst_runs" in printed
    assert client.query("SHOW TABLES").result_rows == []
    assert "runs: no such table" in inspecting.differences(client, migrations())


def test_what_differs_is_named(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    migrate.apply(client, migrations())
    assert (warehouse.status(client), warehouse.verify(client)) == (0, 0)
    assert "as expected" in capsys.readouterr().out
    assert warehouse.dry_run(client) == 0
    assert capsys.readouterr().out == ""

    client.command("ALTER TABLE runs MODIFY COLUMN reasoning UInt32")
    client.command("ALTER TABLE runs DROP COLUMN skewed")
    client.command("DROP VIEW analyst_prices")
    client.command(
        "ALTER TABLE schema_migrations UPDATE checksum = 'x' WHERE number = 2 SETTINGS mutations_sync = 2"
    )

    assert warehouse.verify(client) == 1
    assert capsys.readouterr().out.splitlines() == [
        "0002_ledger_of_facts: changed",
        "runs.reasoning: UInt32, expected UInt64",
        "runs.skewed: missing, expected Bool",
        "analyst_prices: no such view",
    ]


def test_raw_events_are_kept_as_long_as_the_settings_say(client: Client) -> None:
    migrate.apply(client, migrations())

    def kept() -> dict[str, bool]:
        query = "SELECT name, engine_full LIKE '% TTL %toIntervalDay(30)%' FROM system.tables"
        where = "WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        return {name: bool(ends) for name, ends in client.query(f"{query} {where}").result_rows}

    migrate.retain(client, 0)
    assert not any(kept().values())
    migrate.retain(client, 90)
    migrate.retain(client, 30)
    migrate.retain(client, 30)
    ends = {name for name, ends in kept().items() if ends}
    assert ends == {"run_events", "token_events", "tool_call_events"}
    client.command(
        "INSERT INTO run_events (tenant_id, recorded_at) "
        "VALUES ('old', now() - INTERVAL 31 DAY), ('new', now())"
    )
    client.command("OPTIMIZE TABLE run_events FINAL")
    assert client.query("SELECT tenant_id FROM run_events").result_rows == [("new",)]
    migrate.retain(client, 0)
    assert not any(kept().values())


def test_the_sql_endpoint_knows_every_view() -> None:
    assert sorted(VIEWS) == sorted(inspecting.views(migrations()))


@pytest.mark.parametrize("tenant", ["acme", "it's", "back`tick", "back\\slash"])
def test_grants_are_what_clickhouse_reads(client: Client, settings: ClickHouseSettings, tenant: str) -> None:
    made = grants.statements(settings.database, tenant, list(VIEWS), user="grafana")
    for statement in made:
        # The engine's own parser; it has no users to run it for.
        assert client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement}).result_rows
    policies = [statement for statement in made if "ROW POLICY" in statement]
    [literal] = set(re.findall("USING tenant_id = (.*) TO", "\n".join(policies)))
    assert client.query(f"SELECT {literal}").result_rows == [(tenant,)]
    tables = {name for (name,) in client.query("SHOW TABLES").result_rows}
    assert tables == set()
    migrate.apply(client, migrations())
    with_tenants = client.query(
        "SELECT c.table FROM system.columns AS c "
        "JOIN system.tables AS t ON t.database = c.database AND t.name = c.table "
        "WHERE c.database = currentDatabase() AND c.name = 'tenant_id' AND t.engine LIKE '%MergeTree'"
    ).result_rows
    # No table that holds tenants' rows is without a policy.
    assert len(policies) == len(with_tenants) > 0
    for (table,) in with_tenants:
        assert any(f"`{table}` FOR SELECT" in statement for statement in policies)
    granted = [statement for statement in made if statement.startswith("GRANT SELECT")]
    assert not [statement for statement in granted if "schema_migrations" in statement]


def test_the_command_line(settings: ClickHouseSettings, client: Client, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr("stack.reconcile.settings", lambda: (None, None, settings))
    parser = ArgumentParser()
    warehouse.add_arguments(parser)
    assert warehouse.run(parser.parse_args(["apply"])) == 0
    assert warehouse.run(parser.parse_args(["verify"])) == 0
    assert warehouse.run(parser.parse_args(["grant", "acme", "--user", "grafana"])) == 0
    assert "GRANT `analyst_acme` TO `grafana`;" in capsys.readouterr().out
