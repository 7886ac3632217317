"""What a dashboard's questions cost as the runs behind them grow: asked of the API, and of the runs.

Runs are made by ClickHouse itself, in the real tables, over the same 90 days at every size; the rollups are
built by the product. Only the density grows: what is read of the rollups levels off, of the runs it does not.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "console_api")]
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from console_stack import serving
from console_world import World

from console_api.app import Config
from kit import clickhouse_client, redis_client
from kit.settings import ClickHouseSettings, ConsoleApiSettings, KafkaSettings, RedisSettings
from schemas import rows
from stack import ports, servers
from stack.process import Child
from streams.warehouse import migrate, rollups

DAYS = 90
SIZES = (1_000_000, 10_000_000, 100_000_000)
_PIECE = 500_000
_ASKED = 60
#: Beside data, merges need room for what they merge.
_BYTES_PER_RUN = 400
#: Beyond the longest that the embedded server lets a query run.
_TIMEOUT_EXCEEDED = 159
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000

#: 1,000 instances of 200 orgs; who has more runs has many more: the first has a tenth of all. A twentieth of
#: the runs are there in two versions, as those are whose first was stored before they ended.
_RUNS = """
INSERT INTO runs ({columns})
SELECT
    {tenant:String},
    if(i < 5, {org:String}, concat('org_', toString(intDiv(i, 5)))),
    if(i = 0, {instance:String}, concat('inst_', toString(i))),
    hex(sipHash64(n)), v + 1,
    if(v = 0 AND n % 20 = 0, 'started', multiIf(n % 50 = 7, 'failed', n % 97 = 3, 'cancelled', 'completed')),
    ['api', 'widget'][1 + (r2 % 3 = 0)], concat('key_', toString(r2 % 2)),
    if(r2 % 11 = 0, 'gpt-4o-mini', ['gpt-4o', 'gpt-4.1', 'claude-sonnet-4-5'][1 + i % 3]),
    false, '', '',
    at, at + toIntervalMillisecond(200 + r2 % 9000), 200 + r2 % 9000,
    50 + r2 % 1500, 20 + r2 % 480, 50 + r2 % 1500, 0, 0, 0, 1, r2 % 3, 100 + r2 % 20000,
    'v1', false, false, false,
    at + toIntervalMillisecond(400 + r2 % 9000), 'credits.ledger', i % 8, n * 2 + v
FROM
(
    SELECT
        number AS n, v,
        toUInt32(1000 * pow(cityHash64(number, 1) / pow(2, 64), 3)) AS i,
        cityHash64(number, 2) AS r2,
        toInt64({from_ms:Int64} + cityHash64(number, 3) % {width_ms:UInt64}) AS at_ms,
        fromUnixTimestamp64Milli(at_ms, 'UTC') AS at
    FROM numbers({first:UInt64}, {count:UInt64})
    ARRAY JOIN if(number % 20 = 0, [0, 1], [1]) AS v
)
"""


@dataclass
class Question:
    """One request of a dashboard, and its peer: the same sums over `runs FINAL`."""

    name: str
    path: str
    query: dict[str, str]
    raw: str = ""


async def measure(folder: Path, most: int = SIZES[-1]) -> dict[str, Any]:
    """Return, by size, how long building took and each question's p50 and p99 in ms."""
    found: dict[str, Any] = {"days": DAYS, "asked": _ASKED, "sizes": []}
    async with _servers(folder) as (redis_settings, clickhouse):
        await asyncio.to_thread(migrate.bring_up_to_date, clickhouse)
        client = await asyncio.to_thread(clickhouse_client.connect_sync, clickhouse)
        redis = redis_client.connect(redis_settings)
        world = await World.create(redis)
        operator = f"{world.token}-operator"
        await world.add_token(operator, "", role="operator")
        config = Config(ConsoleApiSettings(), redis_settings, clickhouse, KafkaSettings())
        until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        made = 0
        try:
            async with serving(config) as url:
                for size in sorted({size for size in SIZES if size < most} | {most}):
                    if why := _too_large(folder, size - made):
                        found["stopped"] = f"{size:,} runs: {why}"
                        break
                    try:
                        built = await asyncio.to_thread(_grow, client, world, until, made, size)
                        made = size
                        asked = await _ask_all(url, world, operator, client, until)
                    except (DatabaseError, RuntimeError) as error:
                        found["stopped"] = f"{size:,} runs: {error!r}"[:300]
                        break
                    found["sizes"].append({"runs": size, **built, **_held(client), "questions": asked})
        finally:
            await redis.aclose()
            client.close()
    return found


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[RedisSettings, ClickHouseSettings]]:
    chosen = ports.choose({"valkey": 0, "clickhouse": 0}, {})
    specs = [
        servers.valkey(folder / "valkey", chosen["valkey"]),
        servers.clickhouse(folder / "clickhouse", chosen["clickhouse"]),
    ]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    children = [Child(spec, folder / "logs", lambda: None) for spec in specs]
    for child in children:
        child.start()
    try:
        if not all(await asyncio.gather(*[child.wait_ready(60) for child in children])):
            raise RuntimeError("Valkey or ClickHouse did not start")
        yield (
            RedisSettings(url=f"redis://127.0.0.1:{chosen['valkey']}/0"),
            ClickHouseSettings(url=f"http://127.0.0.1:{chosen['clickhouse']}", query_timeout_ms=600_000),
        )
    finally:
        await asyncio.gather(*[child.stop() for child in children])


def _too_large(folder: Path, runs: int) -> str:
    free = shutil.disk_usage(folder).free
    needed = runs * _BYTES_PER_RUN
    return f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} are free" if needed > free else ""


def _grow(client: Client, world: World, until: datetime, made: int, size: int) -> dict[str, float]:
    """Add runs up to `size`, then have the rollups of every day built anew; return the seconds of both."""
    whose = {"tenant": world.tenant_id, "org": world.org_id, "instance": world.instance_id}
    first = until - timedelta(days=DAYS)
    span = {"from_ms": int(first.timestamp() * 1000), "width_ms": DAYS * _DAY_MS}
    sql = _RUNS.replace("{columns}", ", ".join(rows.RUNS.columns))
    began = time.perf_counter()
    for start in range(made, size, _PIECE):
        count = min(_PIECE, size - start)
        client.command(sql, parameters={**whose, **span, "first": start, "count": count})
    inserted = time.perf_counter()
    for n in range(DAYS + 1):
        rollups.rebuild(client, (first + timedelta(days=n)).date())
    return {"insert_s": inserted - began, "rollups_s": time.perf_counter() - inserted}


def _held(client: Client) -> dict[str, dict[str, int]]:
    found = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() AND rows > 0 GROUP BY table"
    ).result_rows
    return {
        "rows": {table: count for table, count, _ in found},
        "bytes": {table: size for table, _, size in found},
    }


def questions(world: World, until: datetime) -> list[Question]:
    """Return what a console asks, of the instance with most runs and of the whole market place.

    It asks from where a window begins until now; one question is between any two moments.
    """
    until_ms = int(until.timestamp() * 1000)
    usage = f"/api/v1/instances/{world.instance_id}/usage"
    credits = "/api/v1/meters/credits/query"
    whose = f"tenant_id = '{world.tenant_id}'"
    mine = f"{whose} AND org_id = '{world.org_id}' AND instance_id = '{world.instance_id}'"

    def raw(where: str, from_ms: int, start: str, group: str = "model") -> str:
        return (
            f"SELECT {start}(started_at) AS at, {group}, count(), sum(tokens_in), sum(tokens_out), "
            "sum(charged_micro), quantilesTDigest(0.5, 0.95, 0.99)(duration_ms) FROM runs FINAL "
            f"WHERE {where} AND started_at >= fromUnixTimestamp64Milli({from_ms}, 'UTC') "
            f"GROUP BY at, {group} SETTINGS do_not_merge_across_partitions_select_final = 1"
        )

    def midnight(days: int, tz: tzinfo = UTC) -> int:
        day = (until - timedelta(days=days)).astimezone(tz)
        return int(day.replace(hour=0).timestamp() * 1000)

    week, month, every = until_ms - 7 * _DAY_MS, midnight(30), midnight(DAYS)
    berlin = midnight(DAYS, ZoneInfo("Europe/Berlin"))
    by_model = {"group_by": "model"}
    any_moment = until_ms - _HOUR_MS + 17_345
    return [
        Question(
            "instance, 24 h by minute", usage, {"from": str(until_ms - 24 * _HOUR_MS), "window": "minute"}
        ),
        Question(
            "instance, 7 days by hour and model",
            usage,
            {"from": str(week), "window": "hour", **by_model},
            raw(mine, week, "toStartOfHour"),
        ),
        Question(
            "instance, the same between any two moments",
            usage,
            {"from": str(any_moment - 7 * _DAY_MS), "to": str(any_moment), "window": "hour", **by_model},
        ),
        Question("instance, 30 days by day", usage, {"from": str(month), "window": "day"}),
        Question(
            "instance, 90 days by day of Berlin, by model",
            usage,
            {"from": str(berlin), "window": "day", **by_model, "tz": "Europe/Berlin"},
            raw(mine, berlin, "toStartOfDay"),
        ),
        Question(
            "org, credits of 90 days by day and model",
            credits,
            {"from": str(every), "window": "day", **by_model},
            raw(f"{whose} AND org_id = '{world.org_id}'", every, "toStartOfDay"),
        ),
        Question(
            "tenant, credits of 30 days by day, ten dearest orgs",
            credits,
            {"from": str(month), "window": "day", "group_by": "org_id", "top_n": "10"},
            raw(whose, month, "toStartOfDay", "org_id"),
        ),
    ]


async def _ask_all(
    url: str, world: World, operator: str, client: Client, until: datetime
) -> dict[str, dict[str, float | str | None]]:
    found: dict[str, dict[str, float | str | None]] = {}
    async with aiohttp.ClientSession() as session:
        for question in questions(world, until):
            token = operator if question.name.startswith("tenant") else world.token
            headers = {"Authorization": f"Bearer {token}"}
            delays: list[float] = []
            for n in range(_ASKED + 3):
                began = time.perf_counter()
                async with session.get(url + question.path, params=question.query, headers=headers) as said:
                    body = await said.read()
                if said.status != 200:
                    raise RuntimeError(f"{question.name}: {said.status} {body[:300]!r}")
                if n >= 3:  # the first ones open connections and files
                    delays.append((time.perf_counter() - began) * 1000)
            delays.sort()
            raw_ms = await asyncio.to_thread(_raw, client, question.raw) if question.raw else None
            found[question.name] = {
                "p50_ms": delays[len(delays) // 2],
                "p99_ms": delays[min(len(delays) - 1, int(len(delays) * 0.99))],
                "runs_final_ms": raw_ms,
            }
    return found


def _raw(client: Client, sql: str) -> float | str:
    """Return how long the same takes over the runs, in ms: the best of three, or what the server said."""
    taken: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        try:
            client.query(sql)
        except DatabaseError as error:
            if error.code != _TIMEOUT_EXCEEDED:
                raise
            return "over a minute"
        taken.append((time.perf_counter() - began) * 1000)
    return min(taken)
