"""`runmeter correct backfill`: charge what was used elsewhere and never reported, however long ago.

Each line of the file becomes a run of the open period whose whole charge is an adjustment, priced by the book
that was in force when the usage happened. Nothing that was reported before changes. A line applies once, by
its id: what the ledger or Redis knows already is left alone.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from msgspec import Meta, Struct
from redis.asyncio import Redis

from kit import clickhouse_client, clock, redis_client
from kit.publisher import new_producer
from kit.redis_client import get_bytes
from kit.settings import KafkaSettings
from metering.corrections import corrected_cost
from metering.metered import MeteredRun
from metering.price_schedule import PriceSchedule, version_at
from metering.prices import PriceBook
from metering.runs import fold
from schemas import keys, topics
from schemas.directory import InstanceRecord
from schemas.events import CorrectionEvent, Count, RunEvent, encode
from schemas.partitioning import partition_of
from stack import reconcile
from stack.errors import StackError

#: Names the one correction of each of these runs.
REQUEST_ID = "backfill"
MAX_LINES = 100_000
_AT_ONCE = 500
_KNOWN = """
SELECT DISTINCT reference_id FROM ledger
WHERE tenant_id = {tenant:String} AND org_id = {org:String} AND reference_id IN {runs:Array(String)}
"""

_Text = Annotated[str, Meta(min_length=1, max_length=256)]


class Line(Struct, forbid_unknown_fields=True, kw_only=True):
    """What was used: one model call's worth. `id` is unique at its source, `at` says when it happened."""

    id: _Text
    at: datetime
    model: _Text
    input_uncached: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, help='JSON lines: {"id", "at", "model", "output", …}')
    parser.add_argument("--instance", required=True, help="whose usage it was")
    parser.add_argument("--source", default="backfill", help="where the ids come from")
    parser.add_argument("--reason", default="")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would charge")


def lines(path: Path) -> list[Line]:
    """Return the file's lines. Raises `StackError` naming the first one that is none."""
    decode = msgspec.json.Decoder(Line).decode
    found: dict[str, Line] = {}
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if number > MAX_LINES:
                    raise StackError(f"{path}: more than {MAX_LINES:,} lines; split the file")
                line = decode(text)
                if found.setdefault(line.id, line) != line:
                    raise StackError(f"{path}:{number}: {line.id!r} stands there twice, with other figures")
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise StackError(f"{path}:{number}: {error}") from error
    return list(found.values())


async def backfill(args: argparse.Namespace) -> dict[str, int]:
    """Return what each run that was not known is charged, in micro-credits, having sent it.

    Raises `StackError`, and what the stores raise while they are away.
    """
    wanted = lines(args.file)
    kafka, redis_settings, clickhouse = reconcile.settings()
    redis = redis_client.connect(redis_settings)
    client = await clickhouse_client.connect(clickhouse)
    try:
        instance = await _instance(redis, args.instance)
        partition = partition_of(instance.org_id, kafka.partitions)
        prices = await _Prices.of(redis, instance.tenant_id)
        changes: dict[str, int] = {}
        events: list[CorrectionEvent | RunEvent] = []
        for batch in _batches(wanted):
            ids = {_run_id(instance.org_id, args.source, line.id): line for line in batch}
            for run_id in ids.keys() - await _known(client, instance, list(ids)):
                line = ids[run_id]
                blob = await get_bytes(redis, keys.run(partition, run_id))
                before = msgspec.msgpack.decode(blob, type=MeteredRun).state if blob else None
                if before is not None and before.closed and REQUEST_ID in before.corrections:
                    continue
                # One that was sent in part keeps the moment it was sent at.
                at_ms = before.identity.started_at_ms if before else clock.now_ms()
                book = await prices.at(line.at)
                reason = args.reason or f"{args.source} {line.id} of {line.at.isoformat()}"
                made = _events(line, _whose(instance, run_id, at_ms, book.version), reason)
                state = fold(before, [(event, False) for event in made])
                changes[run_id] = corrected_cost(state, {book.version: book})[1].micro
                events += made
    finally:
        await client.close()
        await redis.aclose()
    if not args.dry_run:
        await _send(kafka, events)
    return changes


def _batches(wanted: list[Line]) -> Iterator[list[Line]]:
    for start in range(0, len(wanted), _AT_ONCE):
        yield wanted[start : start + _AT_ONCE]


def _run_id(org_id: str, source: str, line_id: str) -> str:
    named = msgspec.json.encode([org_id, source, line_id])
    return f"run_{sha256(named).hexdigest()[:26]}"


async def _instance(redis: Redis, instance_id: str) -> InstanceRecord:
    blob = await get_bytes(redis, keys.instance(instance_id))
    if blob is None:
        raise StackError(f"there is no instance {instance_id!r}")
    return msgspec.json.decode(blob, type=InstanceRecord)


async def _known(client: AsyncClient, instance: InstanceRecord, run_ids: list[str]) -> set[str]:
    """Return the runs that the ledger has."""
    bound = {"tenant": instance.tenant_id, "org": instance.org_id, "runs": run_ids}
    return {str(row[0]) for row in (await client.query(_KNOWN, parameters=bound)).result_rows}


class _Prices:
    """A tenant's books by when they were in force."""

    def __init__(self, redis: Redis, schedule: PriceSchedule) -> None:
        self._redis = redis
        self._schedule = schedule
        self._books: dict[str, PriceBook] = {}

    @classmethod
    async def of(cls, redis: Redis, tenant_id: str) -> _Prices:
        blob = await get_bytes(redis, keys.price_schedule(tenant_id))
        if blob is None:
            raise StackError(f"tenant {tenant_id!r} has no prices")
        return cls(redis, msgspec.json.decode(blob, type=PriceSchedule))

    async def at(self, moment: datetime) -> PriceBook:
        at_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        version = version_at(self._schedule, at_ms)
        if version is None:
            raise StackError(f"no price book was in force at {moment.isoformat()}")
        if version not in self._books:
            blob = await get_bytes(self._redis, keys.price_book(version))
            if blob is None:
                raise StackError(f"there is no price book {version!r}")
            self._books[version] = msgspec.json.decode(blob, type=PriceBook)
        return self._books[version]


def _whose(instance: InstanceRecord, run_id: str, at_ms: int, version: str) -> dict[str, Any]:
    return {
        "tenant_id": instance.tenant_id,
        "org_id": instance.org_id,
        "instance_id": instance.instance_id,
        "run_id": run_id,
        "channel": "intake",
        "price_version": version,
        "started_at_ms": at_ms,
        "occurred_at_ms": at_ms,
    }


def _events(line: Line, whose: dict[str, Any], reason: str) -> list[CorrectionEvent | RunEvent]:
    buckets = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")
    used: dict[str, Any] = {name: getattr(line, name) for name in buckets}
    tokens: dict[str, Any] = {
        "tokens_in": line.input_uncached + line.cache_read + line.cache_write,
        "tokens_out": line.output,
    }
    return [
        CorrectionEvent(
            **whose, request_id=REQUEST_ID, kind="amend", model=line.model, reason=reason, **used
        ),
        RunEvent(**whose, status="completed", model=line.model, **tokens),
    ]


async def _send(kafka: KafkaSettings, events: list[CorrectionEvent | RunEvent]) -> None:
    producer = new_producer(kafka)
    await producer.start()
    try:
        for start in range(0, len(events), _AT_ONCE):
            sent = [
                await producer.send(
                    (topics.CORRECTIONS if isinstance(event, CorrectionEvent) else topics.RUNS).name,
                    encode(event),
                    key=event.org_id.encode(),
                    partition=partition_of(event.org_id, kafka.partitions),
                )
                for event in events[start : start + _AT_ONCE]
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
