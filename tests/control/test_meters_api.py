"""Meters of a tenant's own: defined, refused, asked, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient
from containers import free_ports
from control_places import Place
from control_server import Api, serving
from control_world import NOW, World
from redis.asyncio import Redis

from kit import clickhouse_client
from kit.clock import new_id
from kit.settings import ClickHouseSettings
from schemas import rows
from streams.warehouse import migrate

SLOW = {
    "slug": "slow_tools",
    "name": "Slow tools",
    "event_type": "tool_call",
    "aggregation": "percentile",
    "percentile": 0.5,
    "value_path": "$.duration_ms",
    "group_by": {"which": "$.tool", "n": "$.status"},
    "unit": "ms",
}


@pytest.fixture(scope="session")
def history(clickhouse_url: str) -> ClickHouseSettings:
    """A warehouse with its tables."""
    settings = ClickHouseSettings(url=clickhouse_url, database=new_id("meters"))
    migrate.bring_up_to_date(settings)
    return settings


@pytest_asyncio.fixture
async def clickhouse(history: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    client = await clickhouse_client.connect(history)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def api(
    place: Place, redis_url: str, redis: Redis, world: World, history: ClickHouseSettings
) -> AsyncIterator[Api]:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    where = {"clickhouse_url": history.url, "clickhouse_database": history.database}
    async with serving(place, redis_url, nowhere, world, **where) as url, aiohttp.ClientSession() as http:
        yield Api(url, http, redis, world)


async def operator(api: Api) -> dict[str, str]:
    return await api.headers("operator", "")


async def stored(clickhouse: AsyncClient, table: rows.Table, *found: dict[str, Any]) -> None:
    """Insert rows whose other columns are empty, as the warehouse worker does."""
    empty = {"String": "", "Bool": False}
    names = list(table.columns)
    at = datetime.fromtimestamp(NOW / 1000, UTC)

    def value(row: dict[str, Any], name: str) -> Any:
        kind = table.columns[name].removeprefix("LowCardinality(").rstrip(")")
        return row.get(name, at if name.endswith("_at") else empty.get(kind, 0))

    await clickhouse.insert(table.name, [[value(row, name) for name in names] for row in found], names)


async def calls(api: Api, clickhouse: AsyncClient) -> None:
    """Store calls of two tools, one of them twice, as a producer that sends again makes them."""
    whose = {"tenant_id": api.world.tenant_id, "org_id": api.world.org_id, "instance_id": "i", "run_id": "r"}
    made = [
        {**whose, "tool_call_id": f"call_{n}", "tool": tool, "duration_ms": ms, "status": "ok"}
        for n, (tool, ms) in enumerate([("search", 10), ("search", 20), ("search", 90), ("mail", 500)])
    ]
    await stored(clickhouse, rows.TOOL_CALL_EVENTS, *made, made[2])


async def test_a_meter_is_defined_asked_and_deleted(api: Api, clickhouse: AsyncClient) -> None:
    await calls(api, clickhouse)
    made = await api("POST", "/meters", SLOW, headers=await operator(api))
    assert (made.status, made.body["built_in"], made.body["created_at_ms"]) == (201, False, NOW)
    assert (await api("GET", "/meters/slow_tools")).body == made.body
    slugs = [meter["slug"] for meter in (await api("GET", "/meters")).body["meters"]]
    assert slugs[0] == "runs"
    assert slugs[-1] == "slow_tools"

    span = f"from={NOW - 1000}&to={NOW + 1000}"
    found = (await api("GET", f"/meters/slow_tools/query?{span}&group_by=which&group_by=n")).body
    assert (found["meter"], found["aggregation"], found["unit"]) == ("slow_tools", "percentile", "ms")
    assert [(row["group_by"], row["value"]) for row in found["data"]] == [
        ({"which": "mail", "n": "ok"}, 500),
        ({"which": "search", "n": "ok"}, 20),
    ]
    assert (await api("GET", f"/meters/slow_tools/query?{span}&group_by=model")).status == 422
    filtered = await api("GET", f"/meters/slow_tools/query?{span}&filter[which]=mail")
    assert [row["value"] for row in filtered.body["data"]] == [500]

    assert (await api("DELETE", "/meters/slow_tools", headers=await operator(api))).status == 204
    assert (await api("DELETE", "/meters/slow_tools", headers=await operator(api))).status == 404
    assert (await api("GET", f"/meters/slow_tools/query?{span}")).status == 404
    actions = {entry.action for entry in await api.world.audited("slow_tools")}
    assert actions == {"meter.create", "meter.delete"}


@pytest.mark.parametrize(
    ("aggregation", "path", "value"),
    [
        ("sum", "$.duration_ms", 620),
        ("count", None, 4),
        ("avg", "$.duration_ms", 155.0),
        ("min", "$.duration_ms", 10),
        ("max", "$.duration_ms", 500),
        ("unique", "$.tool", 2),
        ("latest", "$.duration_ms", 500),
    ],
)
async def test_each_way_to_add_up(
    api: Api, clickhouse: AsyncClient, aggregation: str, path: str | None, value: float
) -> None:
    await calls(api, clickhouse)
    wanted = {"slug": "m", "event_type": "tool_call", "aggregation": aggregation, "value_path": path}
    assert (await api("POST", "/meters", wanted, headers=await operator(api))).status == 201
    found = await api("GET", f"/meters/m/query?from={NOW - 1000}&to={NOW + 1000}")
    assert [row["value"] for row in found.body["data"]] == [value]


async def test_a_ledgers_meter_folds_versions(api: Api, clickhouse: AsyncClient) -> None:
    whose = {"tenant_id": api.world.tenant_id, "org_id": api.world.org_id, "kind": "usage"}
    for version, micro in ((1, -5), (3, -70), (2, -6)):
        entry = {**whose, "entry_id": "run_1", "version": version, "amount_micro": micro}
        await stored(clickhouse, rows.LEDGER, entry)
    wanted = {
        "slug": "spent",
        "event_type": "ledger_entry",
        "aggregation": "sum",
        "value_path": "$.debited_micro",
        "group_by": {"kind": "$.kind"},
    }
    assert (await api("POST", "/meters", wanted, headers=await operator(api))).status == 201
    found = await api("GET", f"/meters/spent/query?from={NOW - 1000}&to={NOW + 1000}&group_by=kind")
    assert [(row["group_by"], row["value"]) for row in found.body["data"]] == [({"kind": "usage"}, 70)]


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "UPPER"},
        {"slug": "a'; DROP TABLE runs; --"},
        {"event_type": "runs"},
        {"event_type": "system.tables"},
        {"aggregation": "sum) FROM system.tables --"},
        {"value_path": "$.tool"},
        {"value_path": "$.tenant_id"},
        {"value_path": "$.(SELECT 1)"},
        {"value_path": None},
        {"aggregation": "count"},
        {"aggregation": "sum"},
        {"percentile": None},
        {"percentile": 1.0},
        {"percentile": "0.5) FROM x"},
        {"group_by": {"a`b": "$.tool"}},
        {"group_by": {"tool": "$.tool, tenant_id"}},
        {"group_by": {"tool": "$.duration_ms"}},
        {"group_by": {"value": "$.tool"}},
        {"group_by": {"org_id": "$.tool"}},
        {"unknown": 1},
    ],
)
async def test_a_definition_that_could_not_be_asked_is_refused(api: Api, change: dict[str, Any]) -> None:
    refused = await api("POST", "/meters", {**SLOW, **change}, headers=await operator(api))
    assert (refused.status, refused.body["code"]) == (422, "invalid_request")


async def test_slugs_are_taken_once_and_within_a_tenant(api: Api) -> None:
    by = await operator(api)
    taken = await api("POST", "/meters", {**SLOW, "slug": "runs"}, headers=by)
    assert (taken.status, taken.body["code"]) == (409, "conflict")
    assert (await api("POST", "/meters", SLOW, headers=by)).status == 201
    assert (await api("POST", "/meters", SLOW, headers=by)).status == 409
    assert (await api("DELETE", "/meters/runs", headers=by)).status == 409
    elsewhere = await api.headers("operator", "", "elsewhere")
    assert (await api("GET", "/meters/slow_tools", headers=elsewhere)).status == 404
    assert (await api("GET", "/meters/slow_tools/query", headers=elsewhere)).status == 404
    assert (await api("DELETE", "/meters/slow_tools", headers=elsewhere)).status == 404
    for role in ("viewer", "owner"):
        assert (await api("POST", "/meters", {**SLOW, "slug": "x"}, role=role)).status == 403
        assert (await api("DELETE", "/meters/slow_tools", role=role)).status == 403


async def test_a_tenant_has_so_many_meters(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console_api.meters.service.MAX_METERS", 2)
    by = await operator(api)
    made = [await api("POST", "/meters", {**SLOW, "slug": f"m{n}"}, headers=by) for n in range(3)]
    assert [answer.status for answer in made] == [201, 201, 409]


async def test_an_operator_may_mean_one_org(api: Api, clickhouse: AsyncClient) -> None:
    whose = {"tenant_id": api.world.tenant_id, "instance_id": "i", "run_id": "r", "status": "completed"}
    mine = {**whose, "org_id": api.world.org_id, "tokens_in": 1}
    await stored(clickhouse, rows.RUNS, mine, {**whose, "org_id": "another", "tokens_in": 10})
    by = await operator(api)
    of_one = {**by, "X-Runmeter-Org": api.world.org_id}
    path = f"/meters/tokens_in/query?from={NOW - 1000}&to={NOW + 1000}"
    sql = {"sql": "SELECT sum(tokens_in) FROM analyst_runs"}
    for headers, tokens in ((by, 11), (of_one, 1)):
        assert [row["value"] for row in (await api("GET", path, headers=headers)).body["data"]] == [tokens]
        assert (await api("POST", "/sql", sql, headers=headers)).body["data"] == [[tokens]]
    # Knowledge is an instance's, with no org in its rows: of one org nothing is shown.
    assert (await api("POST", "/sql", {"sql": "SELECT * FROM analyst_ingestion"}, headers=of_one)).body[
        "data"
    ] == []


async def test_while_clickhouse_is_away_questions_are_to_be_asked_again(
    place: Place, redis_url: str, redis: Redis, world: World
) -> None:
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    async with serving(place, redis_url, nowhere, world) as url, aiohttp.ClientSession() as http:
        api = Api(url, http, redis, world)
        assert (await api("GET", "/meters/runs")).status == 200
        for answer in (
            await api("GET", "/meters/runs/query"),
            await api("GET", "/meters/runs/query?group_by=model&top_n=2"),
            await api("POST", "/sql", {"sql": "SELECT 1"}, headers=await operator(api)),
        ):
            assert (answer.status, answer.body["code"]) == (503, "warehouse_unavailable")
            assert answer.headers["Retry-After"]
