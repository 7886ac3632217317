"""Do the clients' answers, the Redis counters, the wallet and ClickHouse agree, to the micro-credit?

Reads the stores, not the code that fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clickhouse_connect.driver.asyncclient import AsyncClient
from redis.asyncio import Redis

from schemas import keys
from schemas.partitioning import partition_of
from stack.access import DemoAccess
from stack.traffic import Sent

FIGURES = ("runs", "tokens_in", "tokens_out", "tool_calls", "charged")

_RUNS = """
SELECT run_id, status, error_code, tokens_in, tokens_out, tool_calls, charged_micro
FROM runs FINAL WHERE tenant_id = {tenant:String} AND org_id = {org:String}
"""
#: The same from the raw events: the last word on each call, added up; tool calls counted once each.
_RAW = """
SELECT sum(input), sum(output), (
    SELECT uniqExact(run_id, tool_call_id) FROM tool_call_events
    WHERE tenant_id = {tenant:String} AND org_id = {org:String}
)
FROM (
    SELECT argMax(input_uncached + cache_read + cache_write, (final, seq)) AS input,
           argMax(output, (final, seq)) AS output
    FROM token_events WHERE tenant_id = {tenant:String} AND org_id = {org:String}
    GROUP BY run_id, call_id
)
"""

Figures = Mapping[str, int]


@dataclass
class Agreement:
    """The figures of each witness, and what does not fit."""

    redis: Figures
    wallet_charged: int
    clickhouse: Figures
    raw: Figures
    #: Runs that nobody got an answer of: their client or gateway went away.
    unacknowledged: int
    #: Runs that began and have not ended.
    open_runs: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether all witnesses say the same."""
        return not self.differences

    @property
    def settled(self) -> bool:
        """Whether they do, and nothing is under way."""
        return self.exact and not self.open_runs


async def compare(
    demo: DemoAccess, partitions: int, redis: Redis, warehouse: AsyncClient, sent: Mapping[str, Sent]
) -> Agreement:
    """Compare all witnesses of the demo organisation's usage, past runs of the demo included."""
    bound = {"tenant": demo.tenant_id, "org": demo.org_id}
    rows = (await warehouse.query(_RUNS, parameters=bound)).result_rows
    raw = (await warehouse.query(_RAW, parameters=bound)).result_rows[0]
    stored = {str(row[0]): row for row in rows}
    found = Agreement(
        redis=await _counters(demo, partitions, redis),
        wallet_charged=await _charged(demo, partitions, redis),
        clickhouse={
            "runs": sum(row[1] != "started" for row in rows),
            **{name: sum(int(row[i]) for row in rows) for i, name in enumerate(FIGURES[1:], start=3)},
        },
        raw=dict(zip(FIGURES[1:4], map(int, raw), strict=True)),
        unacknowledged=len(stored.keys() - sent.keys()),
        open_runs=sum(row[1] == "started" for row in rows),
    )
    found.differences = [*_between_stores(found), *_with_answers(sent, stored)]
    return found


def _between_stores(found: Agreement) -> list[str]:
    said = [
        f"{name}: Redis {found.redis[name]}, ClickHouse {found.clickhouse[name]}"
        for name in FIGURES
        if found.redis[name] != found.clickhouse[name]
    ]
    said += [
        f"{name}: ClickHouse runs {found.clickhouse[name]}, raw events {found.raw[name]}"
        for name in FIGURES[1:4]
        if found.raw[name] != found.clickhouse[name]
    ]
    if found.redis["charged"] != found.wallet_charged:
        said.append(f"charged: counters {found.redis['charged']}, wallet {found.wallet_charged}")
    return said


def _with_answers(sent: Mapping[str, Sent], stored: Mapping[str, tuple[object, ...]]) -> list[str]:
    said = []
    for run_id, run in sent.items():
        row = stored.get(run_id)
        if row is None:
            said.append(f"{run_id}: answered, not in ClickHouse")
            continue
        # An answer given for a runner that died is the gateway's best knowledge; what the runner had reported
        # by then, but not yet said, counts too.
        if run.error_code == "runner_lost":
            continue
        told = (run.status, *(run.usage[name] for name in FIGURES[1:]))
        kept = (row[1], *row[3:])
        if told != kept:
            said.append(f"{run_id}: answered {told}, stored {kept}")
    return said


async def _counters(demo: DemoAccess, partitions: int, redis: Redis) -> dict[str, int]:
    partition = partition_of(demo.org_id, partitions)
    totals = dict.fromkeys(FIGURES, 0)
    for instance in demo.instances:
        values = await redis.hmget(keys.counter(partition, instance.instance_id), list(FIGURES))
        for name, value in zip(FIGURES, values, strict=True):
            totals[name] += int(value or 0)
    return totals


async def _charged(demo: DemoAccess, partitions: int, redis: Redis) -> int:
    partition = partition_of(demo.org_id, partitions)
    return int(await redis.hget(keys.wallet(partition, demo.org_id), "charged") or 0)
