"""`runmeter reconcile`: compute everything anew from what was recorded, and compare."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from datetime import UTC, datetime

import msgspec
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from kit import clickhouse_client, clock, logs, ops_server, redis_client
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings, StackSettings, load
from stack import up
from stack.errors import StackError
from streams.reconcile import report as again
from streams.reconcile.metrics import Told
from streams.reconcile.report import Report
from streams.reconcile.witnesses import Stores

log = logging.getLogger(__name__)

_SHOWN = 50
EXACT, DIFFERENT, UNREACHABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--org", default="", help="one organisation; all by default")
    parser.add_argument(
        "--from", dest="since", type=moment, default=0, help="only runs since then (ISO 8601)"
    )
    parser.add_argument("--wait", type=int, default=30, help="seconds to wait for what is under way")
    parser.add_argument(
        "--every", type=int, default=0, metavar="SECONDS", help="go on until stopped, telling Prometheus"
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", help="where /metrics is served with --every")
    parser.add_argument("--metrics-port", type=int, default=18090, help="18090 by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def moment(text: str) -> int:
    """Return an ISO 8601 date or time as Unix milliseconds; UTC unless it says otherwise."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give an ISO 8601 date or time, such as 2027-01-31T09:00") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1000


def settings() -> tuple[KafkaSettings, RedisSettings, ClickHouseSettings]:
    """Return where the running stack's stores are, or those of the environment."""
    running = up.running(up.data_dir())
    if running is None:
        return load(KafkaSettings), load(RedisSettings), load(ClickHouseSettings)
    urls = running.urls
    return (
        KafkaSettings(bootstrap=urls.kafka_bootstrap),
        RedisSettings(url=urls.redis_url),
        ClickHouseSettings(url=urls.clickhouse_url),
    )


def run(args: argparse.Namespace) -> int:
    """Reconcile; 0: exact, 1: different, 2: a store could not be reached."""
    console = Console()
    if args.every:
        return asyncio.run(_again_and_again(args))
    try:
        report = asyncio.run(settled(args.org, args.since, args.wait))
    except (KafkaError, RedisError, ClickHouseError, OSError) as error:
        console.print(f"runmeter: a store could not be reached: {error}", markup=False)
        return UNREACHABLE
    if args.json:
        print(msgspec.json.encode({**msgspec.to_builtins(report), "exact": report.exact}).decode())
    else:
        show(console, report)
    return EXACT if report.exact else DIFFERENT


async def _again_and_again(args: argparse.Namespace) -> int:
    """Reconcile every so often, for ever: what was found is in the metrics, differences also in the log."""
    logs.configure("reconcile", load(StackSettings).log_level)
    # The first process of a container is ended by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXACT))
    told = Told()
    server = await ops_server.serve(args.metrics_port, told.readiness, args.metrics_host)
    try:
        while True:
            try:
                told.record(await settled(args.org, args.since, args.wait), clock.now_ms())
            except (KafkaError, RedisError, ClickHouseError, OSError) as error:
                log.warning("a store could not be reached", extra={"error": repr(error)})
            await asyncio.sleep(args.every)
    finally:
        await server.cleanup()


async def settled(org_id: str, since_ms: int, wait_s: float) -> Report:
    """Reconcile, again while something is under way and time is left."""
    kafka, redis_settings, clickhouse = settings()
    redis = redis_client.connect(redis_settings)
    client = await clickhouse_client.connect(clickhouse)
    try:
        stores = Stores(redis, client, kafka, raw_days=clickhouse.raw_events_days)
        return await again.settled(stores, org_id=org_id, since_ms=since_ms, wait_s=wait_s)
    finally:
        await client.close()
        await redis.aclose()


def show(console: Console, report: Report) -> None:
    """Print the figures, and what differs."""
    table = Table("figure", title="Computed anew, and as stored", title_justify="left")
    for column in ("recomputed", "Redis", "ledger", "ClickHouse runs"):
        table.add_column(column, justify="right")
    for figure in report.figures:
        said = (figure.recomputed, figure.redis, figure.ledger, figure.clickhouse)
        table.add_row(figure.name, *["" if value is None else f"{value:,}" for value in said])
    console.print(table)
    console.print(
        f"{report.orgs:,} organisations, {report.runs:,} runs; {report.records_stored:,} of "
        f"{report.records:,} records accounted for; {report.seconds:.1f} s"
    )
    for line in report.in_flight:
        console.print(f"under way: {line}", markup=False)
    for line in report.differences[:_SHOWN]:
        console.print(line, markup=False)
    if report.different > _SHOWN:
        console.print(f"… and {report.different - _SHOWN:,} more")
    console.print("exact" if report.exact else f"{report.different:,} differences")


def checked() -> Report:
    """Return a reconciliation of everything. Raises `StackError` when a store cannot be reached."""
    try:
        return asyncio.run(settled("", 0, 120))
    except (KafkaError, RedisError, ClickHouseError, OSError) as error:
        raise StackError(f"a store could not be reached: {error}") from error
