"""The analysts' page and dashboard: every query on them, as it stands there, over a seeded warehouse."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World

from kit.clock import new_id, now_ms
from schemas import rows

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "analysts.md").read_text()
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
DASHBOARD = json.loads((DOCS / "dashboards" / "analysts.json").read_text())
HOUR_MS = 3_600_000

#: What Grafana's ClickHouse data source makes of its macros.
#: https://github.com/grafana/clickhouse-datasource/blob/main/README.md#macros
MACROS = (
    (r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)"),
    (r"\$__timeFilter_ms\((\w+)\)", r"\1 >= now64(3) - INTERVAL 7 DAY AND \1 <= now64(3)"),
    (r"\$__timeFilter\((\w+)\)", r"\1 >= toDateTime(now() - INTERVAL 7 DAY) AND \1 <= now()"),
)


def titled(block: str) -> str:
    before = PAGE[: PAGE.index(block)].removesuffix("```sql\n").strip().splitlines()
    return before[-1].rstrip(":")


def dashboard_queries() -> list[tuple[str, str]]:
    found = [
        (panel["title"], target["rawSql"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
    ]
    variables = DASHBOARD["templating"]["list"]
    return found + [(v["name"], v["query"]) for v in variables if v["type"] == "query"]


async def seed(world: World, clickhouse: AsyncClient) -> None:
    """Store runs of two weeks, some in two versions, their ledger entries, tool calls and a source."""
    runs = [
        world.run(
            run_id=new_id("run"),
            started_at_ms=now_ms() - n * 5 * HOUR_MS - 60_000,
            model=("gpt-4o", "gpt-4o-mini")[n % 2],
            status=("completed", "failed")[n % 7 == 3],
            error_code=("", "provider_error")[n % 7 == 3],
            end_user=f"user-{n % 3}",
        )
        for n in range(60)
    ]
    early = {"version": 1, "status": "started", "tokens_in": 1}
    first = [world.run(run_id=r.run_id, started_at_ms=r.started_at_ms, **early) for r in runs[::5]]
    await world.store(clickhouse, *runs)
    await world.store(clickhouse, *first)
    entries = [
        world.entry(run.run_id, -run.charged_micro, occurred_at_ms=run.started_at_ms + 1_000) for run in runs
    ]
    gift = world.entry("grant_1", 10**9, kind="grant", account="granted:purchase", occurred_at_ms=1)
    await world.record(clickhouse, *entries, gift)
    at = datetime.now(UTC) - timedelta(hours=1)
    called = {"tool_call_id": "call_1", "tool": "search", "duration_ms": 40, "status": "ok"}
    # Sent twice: it counts once.
    await insert(world, clickhouse, rows.TOOL_CALL_EVENTS, [{**called, "at": at}] * 2)
    indexed = {"source_id": "src_1", "version": 1, "generation": "g1", "active": True, "chunks": 9, "at": at}
    await insert(world, clickhouse, rows.KNOWLEDGE_VERSIONS, [indexed])


async def insert(
    world: World, clickhouse: AsyncClient, table: rows.Table, made: list[dict[str, Any]]
) -> None:
    whose = {"tenant_id": world.tenant_id, "org_id": world.org_id, "instance_id": world.instance_id}

    def value(row: dict[str, Any], name: str) -> Any:
        text = "String" in table.columns[name]
        return {**whose, **row}.get(name, row["at"] if name.endswith("_at") else "" if text else 0)

    names = list(table.columns)
    await clickhouse.insert(table.name, [[value(row, name) for name in names] for row in made], names)


def test_there_are_enough_of_them() -> None:
    assert len(BLOCKS) >= 12
    assert len(dashboard_queries()) >= 8


@pytest.mark.parametrize("block", BLOCKS, ids=titled)
async def test_a_query_of_the_page_answers(block: str, world: World, clickhouse: AsyncClient) -> None:
    await seed(world, clickhouse)
    found = await clickhouse.query(block)
    silent = {"Runs whose charge and ledger entry do not agree; there should be none",
              "Orgs that used to spend and have stopped"}  # fmt: skip
    assert found.result_rows or titled(block) in silent


@pytest.mark.parametrize(
    ("title", "sql"), dashboard_queries(), ids=[title for title, _ in dashboard_queries()]
)
async def test_a_panel_answers(title: str, sql: str, world: World, clickhouse: AsyncClient) -> None:
    await seed(world, clickhouse)
    for macro, text in MACROS:
        sql = re.sub(macro, text, sql)
    sql = sql.replace("${tenant:singlequote}", f"'{world.tenant_id}'")
    assert "$" not in sql
    assert (await clickhouse.query(sql)).result_rows


async def test_every_view_is_documented_and_counts_each_thing_once(
    world: World, clickhouse: AsyncClient
) -> None:
    await seed(world, clickhouse)
    views = (
        await clickhouse.query(
            "SELECT name, comment FROM system.tables "
            "WHERE database = currentDatabase() AND name LIKE 'analyst_%'"
        )
    ).result_rows
    assert len(views) == 9
    for name, comment in views:
        assert f"`{name}`" in PAGE
        assert comment

    async def one(sql: str) -> tuple[Any, ...]:
        where = "WHERE tenant_id = {tenant:String}"
        found = await clickhouse.query(f"{sql} {where}", parameters={"tenant": world.tenant_id})
        return tuple(found.result_rows[0])

    assert await one("SELECT count(), sum(tokens_in) FROM analyst_runs") == (60, 6_000)
    for view in ("minute", "hourly", "daily"):
        assert await one(f"SELECT sum(runs), sum(tokens_in) FROM analyst_usage_{view}") == (60, 6_000)
    assert await one("SELECT count() FROM analyst_tool_calls") == (1,)
    assert await one("SELECT sum(runs) FROM analyst_sessions") == (60,)
    assert await one("SELECT sum(runs) FROM analyst_prices") == (60,)
    assert await one("SELECT sum(amount_micro) FROM analyst_ledger") == (10**9 - 60 * 250_000,)
    # A correction comes late: it is in every view at once.
    last = await clickhouse.query(
        "SELECT run_id, toUnixTimestamp64Milli(started_at) FROM analyst_runs "
        "WHERE tenant_id = {tenant:String} ORDER BY started_at LIMIT 1",
        parameters={"tenant": world.tenant_id},
    )
    run_id, started_at_ms = last.result_rows[0]
    corrected = world.run(
        run_id=run_id, version=9, started_at_ms=started_at_ms, tokens_in=1_100, end_user="user-2"
    )
    await world.store(clickhouse, corrected)
    for view in ("runs", "usage_minute", "usage_hourly", "usage_daily", "prices", "sessions"):
        assert await one(f"SELECT sum(tokens_in) FROM analyst_{view}") == (7_000,)
