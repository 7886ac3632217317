"""`python -m streams.reconcile`: one reconciliation. Reads a request (JSON) and writes a `Reconciliation`.

A process of its own: it folds every run again, which must not hold up whoever asked for it.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from kit import clickhouse_client, clock, logs, redis_client
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings, StackSettings, load
from schemas.events import encode
from schemas.reconciliation import MAX_TOLD, ReconciledFigure, Reconciliation, ReconciliationRequest
from streams.reconcile.report import Report, settled
from streams.reconcile.witnesses import Stores

#: Seconds to wait for what is under way.
_WAIT_S = 20.0
_MAX_TEXT = 512


async def answer(request: ReconciliationRequest) -> Reconciliation:
    """Reconcile; a store that is away is what the answer says."""
    began = clock.now_ms()
    try:
        report = await _report(request)
    except (KafkaError, RedisError, ClickHouseError, OSError) as error:
        return Reconciliation(
            request_id=request.request_id,
            tenant_id=request.tenant_id,
            error=f"a store could not be reached: {error}"[:_MAX_TEXT],
            started_at_ms=began,
            finished_at_ms=clock.now_ms(),
        )
    return told(request, report, began, clock.now_ms())


def told(request: ReconciliationRequest, report: Report, began_ms: int, ended_ms: int) -> Reconciliation:
    """Return what a report says, cut to what a message may hold."""
    return Reconciliation(
        request_id=request.request_id,
        tenant_id=request.tenant_id,
        orgs=report.orgs,
        runs=report.runs,
        records=report.records,
        records_stored=report.records_stored,
        different=report.different,
        differences=[line[:_MAX_TEXT] for line in report.differences[:MAX_TOLD]],
        figures=[ReconciledFigure(**msgspec.structs.asdict(figure)) for figure in report.figures],
        in_flight=[line[:_MAX_TEXT] for line in report.in_flight],
        behind_ms=report.behind_ms,
        started_at_ms=began_ms,
        finished_at_ms=ended_ms,
    )


async def _report(request: ReconciliationRequest) -> Report:
    redis = redis_client.connect(load(RedisSettings))
    clickhouse = load(ClickHouseSettings)
    client = await clickhouse_client.connect(clickhouse)
    try:
        return await settled(
            Stores(redis, client, load(KafkaSettings), raw_days=clickhouse.raw_events_days),
            tenant_id=request.tenant_id,
            org_id=request.only_org_id,
            since_ms=request.since_ms,
            wait_s=_WAIT_S,
        )
    finally:
        await client.close()
        await redis.aclose()


if __name__ == "__main__":
    logs.configure("reconcile", load(StackSettings).log_level)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=ReconciliationRequest)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(encode(runner.run(answer(asked))))
