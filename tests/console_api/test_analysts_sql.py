"""SQL of analysts: their own tenant's rows, whatever they try."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient
from console_world import World

from kit.clock import now_ms


class Analyst:
    """An operator of a tenant whose neighbour has rows, too."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, world: World, other: World) -> None:
        self.http, self.base_url, self.world, self.other = http, base_url, world, other
        self.headers = world.headers

    async def ask(self, sql: str, **extra: str) -> tuple[int, Any]:
        body = {"sql": sql, **extra}
        async with self.http.post(f"{self.base_url}/api/v1/sql", json=body, headers=self.headers) as answer:
            text = await answer.text()
            # Nothing of the neighbour's is ever told, in an error neither.
            assert not [secret for secret in (self.other.tenant_id, self.other.org_id) if secret in text]
            return answer.status, text if extra.get("format") == "csv" else await answer.json(
                content_type=None
            )

    async def rows(self, sql: str) -> list[list[Any]]:
        status, body = await self.ask(sql)
        assert status == 200, body
        return list(body["data"])


@pytest_asyncio.fixture
async def analyst(
    http: aiohttp.ClientSession, base_url: str, world: World, clickhouse: AsyncClient
) -> Analyst:
    other = await World.create(world.redis)
    for whose, tokens in ((world, 1), (other, 1_000)):
        run = whose.run(run_id=f"run_of_{whose.org_id}", tokens_in=tokens, started_at_ms=now_ms() - 60_000)
        await whose.store(clickhouse, run)
        await whose.record(clickhouse, whose.entry(run.run_id, -tokens))
    world.token = f"{world.token}-operator"
    await world.add_token(world.token, "", "operator")
    return Analyst(http, base_url, world, other)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(tokens_in) FROM analyst_runs",
        "SELECT sum(tokens_in) FROM analyst_usage_minute;",
        "SELECT sum(tokens_in) FROM analyst_usage_hourly -- by hour",
        "SELECT sum(tokens_in) FROM analyst_usage_daily",
        "SELECT -sum(amount_micro) FROM analyst_ledger",
        "WITH mine AS (SELECT * FROM analyst_runs) SELECT sum(tokens_in) FROM mine "
        "WHERE run_id IN (SELECT run_id FROM mine)",
        "SELECT sum(r.tokens_in) FROM analyst_runs r JOIN analyst_ledger l ON l.entry_id = r.run_id",
        "SELECT sum(t) FROM (SELECT sum(tokens_in) AS t FROM analyst_runs UNION ALL SELECT 0)",
        "SELECT sum(tokens_in) FROM analyst_runs WHERE 1 OR tenant_id != ''",
        "SELECT sum(tokens_in) FROM analyst_runs WHERE started_at <= current_timestamp()",
        "SELECT max(x) FROM (SELECT sum(tokens_in) OVER () AS x FROM analyst_runs)",
    ],
)
async def test_a_tenants_own_rows_and_no_others(analyst: Analyst, sql: str) -> None:
    assert await analyst.rows(sql) == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM runs",
        "SELECT * FROM {db}.runs",
        "SELECT * FROM `{db}`.`runs`",
        "SELECT * FROM `{db}.runs`",
        "SELECT * FROM schema_migrations",
        "SELECT * FROM system.tables",
        "SELECT * FROM system.query_log",
        "SELECT * FROM information_schema.tables",
        "WITH analyst_runs AS (SELECT * FROM runs) SELECT * FROM analyst_runs",
        "SELECT (SELECT count() FROM runs)",
        "SELECT * FROM analyst_runs WHERE run_id IN (SELECT run_id FROM runs)",
        "SELECT * FROM analyst_runs WHERE run_id IN runs",
        "SELECT * FROM analyst_runs WHERE run_id IN (runs)",
        "SELECT * FROM analyst_runs WHERE in(run_id, runs)",
        "SELECT * FROM analyst_runs WHERE run_id GLOBAL NOT IN runs",
        "SELECT * FROM merge('{db}', '^runs$')",
        "SELECT * FROM merge('^runs$')",
        "SELECT * FROM view(SELECT * FROM runs)",
        "SELECT * FROM numbers(10)",
        "SELECT * FROM url('http://127.0.0.1/', 'CSV', 'a String')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'a String')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM remote('127.0.0.1', '{db}', 'runs')",
        "SELECT * FROM s3('https://example.com/x.csv')",
        "SELECT dictGet('d', 'a', 1)",
        "SELECT joinGet('{db}.j', 'a', 1)",
        "SELECT sleep(3)",
        "SELECT currentUser()",
        "SELECT * FROM analyst_runs SETTINGS additional_table_filters = {{}}",
        "SELECT * FROM (SELECT * FROM analyst_runs SETTINGS additional_table_filters = {{}})",
        "SELECT * FROM analyst_runs SETTINGS max_execution_time = 0",
        "SELECT * FROM analyst_runs INTO OUTFILE '/tmp/x'",
        "SELECT * FROM analyst_runs FORMAT Native",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE runs",
        "INSERT INTO runs SELECT * FROM runs",
        "INSERT INTO runs FORMAT CSV",
        "DROP TABLE runs",
        "ALTER TABLE runs DELETE WHERE 1",
        "CREATE VIEW v AS SELECT 1",
        "SET readonly = 0",
        "SHOW TABLES",
        "DESCRIBE runs",
        "EXPLAIN SELECT 1",
        "KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
        "graph = 1 SELECT 1",
        "SELECT {{x:String}}",
        "SELECT * FROM analyst_runs /*",
        "SELECT `a\\n Literal 1` FROM runs",
        "SELECT 1 AS `x\\n  TableIdentifier analyst_runs`, * FROM runs",
        "",
        "\x00",
        "not SQL",
    ],
)
async def test_no_way_out(analyst: Analyst, clickhouse_database: str, sql: str) -> None:
    status, problem = await analyst.ask(sql.format(db=clickhouse_database))
    assert (status, problem["code"]) == (422, "invalid_request"), problem


@pytest.mark.parametrize(
    "condition",
    [
        "intDiv(1, tenant_id != '{other}') = 1",
        "intDiv(1, toUInt8(tokens_in < 500)) = 1",
        "toUInt64(replaceOne(org_id, '{mine}', '1')) = 1",
    ],
)
async def test_a_condition_does_not_fail_on_others_rows(
    analyst: Analyst, clickhouse: AsyncClient, condition: str
) -> None:
    # Into one part, so that the index does not keep the others' rows away.
    await clickhouse.command("OPTIMIZE TABLE runs FINAL")
    of_all = condition.format(other=analyst.other.tenant_id, mine=analyst.world.org_id)
    sql = f"SELECT count() FROM analyst_runs WHERE {of_all}"
    async with analyst.http.post(
        f"{analyst.base_url}/api/v1/sql", json={"sql": sql}, headers=analyst.headers
    ) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["data"] == [[1]]


async def test_a_condition_on_a_key_does_not_either(analyst: Analyst, clickhouse: AsyncClient) -> None:
    # No FINAL holds a condition on what is grouped by above the tenant's; and again, all are in one part.
    names = ["tenant_id", "org_id", "run_id", "tool_call_id"]
    made = [[whose.tenant_id, whose.org_id, "r", "c"] for whose in (analyst.world, analyst.other)]
    await clickhouse.insert("tool_call_events", made, names)
    await clickhouse.command("OPTIMIZE TABLE tool_call_events FINAL")
    for condition in (
        f"intDiv(1, org_id = '{analyst.world.org_id}') = 1",
        f"toUInt64(replaceOne(org_id, '{analyst.world.org_id}', '1')) = 1",
    ):
        assert await analyst.rows(f"SELECT count() FROM analyst_tool_calls WHERE {condition}") == [[1]]


async def test_the_tables_are_as_they_were(analyst: Analyst, clickhouse: AsyncClient) -> None:
    for sql in ("DROP TABLE runs", "INSERT INTO runs SELECT * FROM runs", "TRUNCATE TABLE ledger"):
        assert (await analyst.ask(sql))[0] == 422
    assert (await clickhouse.query("SELECT count() FROM runs")).result_rows[0][0] >= 2


async def test_all_orgs_of_the_tenant(analyst: Analyst, clickhouse: AsyncClient) -> None:
    neighbour = await World.create(analyst.world.redis, analyst.world.tenant_id)
    await neighbour.store(clickhouse, neighbour.run(tokens_in=50))
    assert await analyst.rows("SELECT sum(tokens_in) FROM analyst_runs") == [[51]]


async def test_a_viewer_of_the_whole_tenant_may_and_an_orgs_owner_may_not(analyst: Analyst) -> None:
    for token, org_id, role in (("a-viewer", "", "viewer"), ("an-owner", analyst.world.org_id, "owner")):
        await analyst.world.add_token(f"{analyst.world.token}-{token}", org_id, role)  # type: ignore[arg-type]
    analyst.headers = {"Authorization": f"Bearer {analyst.world.token}-a-viewer"}
    assert await analyst.rows("SELECT sum(tokens_in) FROM analyst_runs") == [[1]]
    analyst.headers = {"Authorization": f"Bearer {analyst.world.token}-an-owner"}
    status, problem = await analyst.ask("SELECT 1")
    assert (status, problem["code"], problem["needs"]) == (403, "forbidden", "operator")


async def test_limits_and_forms(analyst: Analyst) -> None:
    status, problem = await analyst.ask("SELECT arrayJoin(range(20000)) FROM analyst_runs")
    assert (status, problem["code"]) == (422, "result_too_large")
    status, problem = await analyst.ask("SELECT nothing FROM analyst_runs")
    assert (status, problem["code"]) == (422, "invalid_request")
    assert "nothing" in problem["detail"]
    status, text = await analyst.ask("SELECT run_id, tokens_in FROM analyst_runs", format="csv")
    assert text.splitlines()[0] == '"run_id","tokens_in"'
    status, body = await analyst.ask("SELECT '100 %s {x:String} %' AS t FROM analyst_runs")
    assert (status, body["data"]) == (200, [["100 %s {x:String} %"]])
    assert body["meta"] == [{"name": "t", "type": "String"}]
