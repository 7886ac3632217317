"""`runmeter correct`: void a run, replace what a call used, price runs anew, charge what was not reported.

A correction becomes an adjustment of the wallet from now on; what was charged stays in the ledger. It applies
once, by its request id, which is made of what is asked unless given: asking again changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from kit import clickhouse_client, clock, redis_client
from kit.publisher import new_producer
from kit.redis_client import get_bytes
from kit.settings import WorkerSettings, load
from metering import metered
from metering.metered import MeteredRun
from metering.prices import MICRO_PER_CREDIT, PriceBook
from schemas import keys, topics
from schemas.events import CorrectionEvent, encode
from schemas.partitioning import partition_of
from stack import backfill, reconcile
from stack.errors import StackError

_AT_ONCE = 200
MAX_RUNS = 100_000
_OWNER = "tenant_id, org_id, instance_id, run_id, channel, key_id, price_version"
_RUNS = f"""
SELECT {_OWNER}, toUnixTimestamp64Milli(started_at) AS started_at_ms FROM runs FINAL
WHERE {{where}} ORDER BY started_at LIMIT {MAX_RUNS + 1}
"""  # noqa: S608 - our own names
_BY_ID = "run_id = {run:String}"
_BY_PERIOD = (
    "org_id = {org:String} AND started_at >= {since:DateTime64(3)} AND started_at < {until:DateTime64(3)}"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    void = kinds.add_parser("void", help="make a run free")
    void.add_argument("--run", required=True)
    amend = kinds.add_parser("amend", help="replace what one model call used, or add a call")
    amend.add_argument("--run", required=True)
    amend.add_argument("--call", default="", help="the call to replace; without it, one is added")
    amend.add_argument("--model", default="")
    for bucket in ("input-uncached", "cache-read", "cache-write", "output", "reasoning"):
        amend.add_argument(f"--{bucket}", type=int, default=0, help="tokens")
    rerate = kinds.add_parser("rerate", help="price a run, or an organisation's runs of a period, anew")
    rerate.add_argument("--price-version", required=True)
    rerate.add_argument("--run", default="")
    rerate.add_argument("--org", default="")
    rerate.add_argument("--from", dest="since", type=reconcile.moment, default=0)
    rerate.add_argument("--to", dest="until", type=reconcile.moment, default=0)
    late = kinds.add_parser("backfill", help="charge usage that was never reported, from a file")
    backfill.add_arguments(late)
    for one in (void, amend, rerate):
        one.add_argument("--request-id", default="", help="names the correction; applies once")
        one.add_argument("--reason", default="")
        one.add_argument("--dry-run", action="store_true", help="only say what it would change")


def run(args: argparse.Namespace) -> int:
    """Send the corrections, and say what they change."""
    if args.kind == "rerate" and bool(args.run) == bool(args.org and args.since and args.until):
        raise StackError("give either --run, or --org with --from and --to")
    try:
        changes = asyncio.run(backfill.backfill(args) if args.kind == "backfill" else correct(args))
    except (KafkaError, RedisError, ClickHouseError, OSError) as error:
        raise StackError(f"a store could not be reached: {error}") from error
    total = sum(changes.values())
    for run_id, micro in list(changes.items())[:50]:
        print(f"{micro / MICRO_PER_CREDIT:+.6f} credits  {run_id}")
    verb = "would change" if args.dry_run else "corrected"
    print(f"{len(changes)} runs {verb}: {total / MICRO_PER_CREDIT:+.6f} credits charged")
    return 0


async def correct(args: argparse.Namespace) -> dict[str, int]:
    """Return by how many micro-credits each run's charge changes, having sent the corrections."""
    kafka, redis_settings, clickhouse = reconcile.settings()
    redis = redis_client.connect(redis_settings)
    client = await clickhouse_client.connect(clickhouse)
    try:
        where, bound = _selection(args)
        found = await client.query(_RUNS.format(where=where), parameters=bound)
        runs = list(found.named_results())
        if not runs:
            raise StackError("there is no such run")
        if len(runs) > MAX_RUNS:
            raise StackError(f"more than {MAX_RUNS:,} runs: take a shorter period")
        changes, events = {}, []
        for owner in runs:
            event = _event(args, owner)
            known = await _run(redis, event, kafka.partitions)
            if event.request_id in known.state.corrections:
                changes[event.run_id] = 0
                continue
            changes[event.run_id] = await _change(redis, event, known)
            events.append(event)
    finally:
        await client.close()
        await redis.aclose()
    if not args.dry_run:
        await _send(kafka, events)
    return changes


def _selection(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    if args.run:
        return _BY_ID, {"run": args.run}
    return _BY_PERIOD, {"org": args.org, "since": args.since / 1000, "until": args.until / 1000}


def _event(args: argparse.Namespace, owner: Mapping[str, Any]) -> CorrectionEvent:
    fields: dict[str, Any] = {}
    if args.kind == "rerate":
        fields["new_price_version"] = args.price_version
    elif args.kind == "amend":
        buckets = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")
        fields = {
            "call_id": args.call,
            "model": args.model,
            **{name: getattr(args, name) for name in buckets},
        }
    asked = msgspec.json.encode([args.kind, owner["run_id"], fields], order="deterministic")
    return CorrectionEvent(
        **owner,
        occurred_at_ms=clock.now_ms(),
        request_id=args.request_id or sha256(asked).hexdigest()[:24],
        kind=args.kind,
        reason=args.reason,
        **fields,
    )


async def _run(redis: Any, event: CorrectionEvent, partitions: int) -> MeteredRun:
    """Return the run as it stands. Raises `StackError` if it cannot be corrected."""
    blob = await get_bytes(redis, keys.run(partition_of(event.org_id, partitions), event.run_id))
    if blob is None:
        days = load(WorkerSettings).run_state_ttl_s // 86_400
        raise StackError(
            f"{event.run_id} cannot be corrected any more: runs are kept for {days} days after their "
            "last change; give the difference as a grant of kind correction"
        )
    return metered.decode(blob)


async def _change(redis: Any, event: CorrectionEvent, known: MeteredRun) -> int:
    """Return what the correction adds to the run's charge. Raises `StackError` without a price book."""
    books = {}
    for version in metered.books_needed(known, event):
        book = await get_bytes(redis, keys.price_book(version))
        if book is None:
            raise StackError(f"there is no price book {version!r}")
        books[version] = msgspec.json.decode(book, type=PriceBook)
    return metered.change(known, event, books)


async def _send(kafka: Any, events: list[CorrectionEvent]) -> None:
    producer = new_producer(kafka)
    await producer.start()
    try:
        for start in range(0, len(events), _AT_ONCE):
            sent = [
                await producer.send(
                    topics.CORRECTIONS.name,
                    encode(event),
                    key=event.org_id.encode(),
                    partition=partition_of(event.org_id, kafka.partitions),
                )
                for event in events[start : start + _AT_ONCE]
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
