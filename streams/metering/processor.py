"""One partition's batches → one plan → one script call.

Order of effects, and what a crash in each gap costs:
  1. dead letters to Kafka        — crash after: sent again, same coordinates
  2. the script (states, counters, wallet, outbox, fences, all or nothing)
                                  — reply lost: the fence tells, and the batch trims to nothing
Nothing follows the script. Kafka's committed offset plays no part.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from itertools import islice
from typing import TypeVar

import msgspec
from aiokafka import ConsumerRecord
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import clock, projections, tracing
from kit.settings import WorkerSettings
from metering.corrections import versions_of
from metering.metered import MeteredRun
from metering.prices import PriceBook
from metering.settling import StoredWallet, command_id
from schemas import keys
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.metering import metrics
from streams.metering.planner import Planner
from streams.metering.reader import Reads, read_all
from streams.metering.store import FenceMissing, PartitionStore, Position

log = logging.getLogger(__name__)

#: (topic, partition, offset) → the reader stands there and everything queued before is stale.
Seek = Callable[[str, int, int], Awaitable[None]]

Remembered = TypeVar("Remembered")

#: Price books kept; one that is dropped is read again.
_MAX_BOOKS = 256
#: Runs, and wallets, kept of each partition between batches.
_CACHED = 5_000
_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Metering:
    """Applies batches to Redis. Keeps, per partition, the position and what it last wrote there."""

    def __init__(
        self, redis: Redis, letters: DeadLetters, settings: WorkerSettings, partitions: int, seek: Seek
    ) -> None:
        self._redis = redis
        self._store = PartitionStore(redis)
        self._letters = letters
        self._settings = settings
        self._partitions = partitions
        self._seek = seek
        self._positions: dict[int, Position] = {}
        #: How far this worker saw each topic applied: a fence below that is a Redis that went back.
        self._reached: dict[int, dict[str, int]] = {}
        self._runs: defaultdict[int, dict[str, MeteredRun]] = defaultdict(dict)
        self._wallets: defaultdict[int, dict[str, StoredWallet]] = defaultdict(dict)
        self._books: dict[str, PriceBook] = {}
        self.applied_records = 0
        #: What the batch of a partition waits for: `redis` or `price_books`.
        self.waiting: dict[int, str] = {}

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return the fences this worker last saw, by partition and topic."""
        return {partition: position.fences for partition, position in self._positions.items()}

    async def load(self, partition: int) -> Position:
        """Read where an assigned partition stands: its reader starts there. Raises `FenceMissing`."""
        self.forget(partition)
        position = await self._store.position(partition)
        self._positions[partition] = position
        self._reached[partition] = dict(position.fences)
        return position

    def forget(self, partition: int) -> None:
        """Drop what is cached of a partition; not how far it was applied."""
        self._positions.pop(partition, None)
        self._runs.pop(partition, None)
        self._wallets.pop(partition, None)

    def forget_all(self) -> None:
        """Drop everything remembered."""
        self._positions.clear()
        self._reached.clear()
        self.waiting.clear()
        self._runs.clear()
        self._wallets.clear()

    async def notice_rewinds(self) -> int:
        """Go back where Redis did, also on partitions where nothing happens; return on how many.

        A batch would notice by itself. On a quiet partition nothing would, and what Redis forgot would stay
        forgotten. Raises `RedisError` and `FenceMissing`.
        """
        rewound = 0
        for partition, reached in list(self._reached.items()):
            # As of before: a batch that is applied meanwhile only moves the fences on.
            before = dict(reached)
            found = await self._store.position(partition)
            if any(fence < before[topic] for topic, fence in found.fences.items()):
                log.warning("Redis went back", extra={"partition": partition})
                self.forget(partition)
                await self._position(partition)
                rewound += 1
        return rewound

    async def _position(self, partition: int) -> Position:
        """Return where a partition stands, going back in every topic in which Redis did."""
        position = self._positions.get(partition)
        if position is None:
            position = self._positions[partition] = await self._store.position(partition)
            reached = self._reached.setdefault(partition, {})
            for topic, fence in position.fences.items():
                back = fence < reached.get(topic, fence)
                reached[topic] = fence
                if back:
                    metrics.REWINDS.inc()
                    await self._seek(topic, partition, fence)
        return position

    async def handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        """Apply batches exactly once; return when they are applied, or were stale."""
        attempt = 0
        while True:
            try:
                with metrics.APPLY_SECONDS.time(), _traced(partition, batches):
                    applied = await self._attempt(partition, batches)
                self.waiting.pop(partition, None)
                if applied:
                    return
                # Somebody else moved the partition, or Redis went back in time: read and compute again.
                self.forget(partition)
            except RedisError as error:
                metrics.REDIS_ERRORS.inc()
                log.warning("Redis is away", extra={"partition": partition, "error": str(error)})
                self.forget(partition)
                self.waiting[partition] = "redis"
            except projections.NotProjectedYet as missing:
                log.warning(
                    "waiting for price books", extra={"partition": partition, "missing": str(missing)}
                )
                self.waiting[partition] = "price_books"
            else:
                continue
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def _attempt(self, partition: int, batches: list[PartitionBatch]) -> bool:
        position = await self._position(partition)
        moves, records = await self._cut(position, batches)
        if not moves:
            return True
        reads = self._read(records)
        stored = await self._stored_runs(partition, reads)
        if unknown := await self._missing_books(reads, stored):
            reads = self._read(records, unknown)
        reads.refuse_forgotten(stored)
        await self._letters.send(
            [self._letters.letter(record, poison.reason, str(poison)) for record, poison in reads.bad],
            len(records) - len(reads.bad),
        )
        planner = await self._plan(partition, records, reads, stored)
        if not await self._store.apply(partition, position.seq, planner.effects(moves)):
            metrics.REFUSED.inc()
            return False
        position.seq += 1
        ends = {topic: end for topic, (_, end) in moves.items()}
        position.fences.update(ends)
        self._reached[partition].update(ends)
        _remember(self._runs[partition], planner.runs)
        _remember(self._wallets[partition], planner.wallets)
        self.applied_records += len(records)
        metrics.APPLIED.inc(len(records))
        metrics.BATCH.observe(len(records))
        metrics.AGE_SECONDS.observe(max(0, clock.now_ms() - records[-1].timestamp) / 1000)
        metrics.UNPRICED.inc(planner.unpriced)
        metrics.BELOW_ZERO.inc(planner.below_zero)
        return True

    async def _cut(
        self, position: Position, batches: list[PartitionBatch]
    ) -> tuple[dict[str, tuple[int, int]], list[ConsumerRecord]]:
        """Return the fence moves and the records beyond the fences; go back where some are missing."""
        moves: dict[str, tuple[int, int]] = {}
        records: list[ConsumerRecord] = []
        for batch in batches:
            fence = position.fences[batch.topic]
            reached = moves[batch.topic][1] if batch.topic in moves else fence
            if batch.next_offset <= reached:
                continue
            if batch.position > reached:
                if batch.topic not in moves:
                    metrics.GAPS.inc()
                    await self._seek(batch.topic, batch.partition, fence)
                continue
            records += [record for record in batch.records if record.offset >= reached]
            moves[batch.topic] = (fence, batch.next_offset)
        return moves, records

    def _read(self, records: list[ConsumerRecord], refused: AbstractSet[str] = frozenset()) -> Reads:
        return read_all(records, self._partitions, self._settings.run_state_ttl_s * 1_000, refused)

    async def _stored_runs(self, partition: int, reads: Reads) -> dict[str, MeteredRun]:
        cache = self._runs[partition]
        stored = {run_id: cache[run_id] for run_id in reads.runs if run_id in cache}
        stored.update(await self._store.runs(partition, [r for r in reads.runs if r not in cache]))
        return stored

    async def _missing_books(self, reads: Reads, stored: Mapping[str, MeteredRun]) -> set[str]:
        """Load the price books that the batch needs; return those that nobody has.

        Raises `NotProjectedYet` while Redis may only not have got them back.
        """
        needed = set(reads.price_versions)
        for run in stored.values():
            needed.add(run.state.identity.price_version)
            if run.state.corrections:
                needed |= versions_of(run.state)
        if len(self._books) > _MAX_BOOKS:
            self._books.clear()
        for version in needed - self._books.keys():
            if blob := await projections.get(self._redis, keys.price_book(version)):
                self._books[version] = msgspec.json.decode(blob, type=PriceBook)
        return needed - self._books.keys()

    async def _plan(
        self,
        partition: int,
        records: list[ConsumerRecord],
        reads: Reads,
        stored: Mapping[str, MeteredRun],
    ) -> Planner:
        # The log's time, not ours: applied again, the batch has the same effects.
        as_of_ms = max((record.timestamp for record in records), default=0)
        planner = Planner(partition, self._settings.run_state_ttl_s, as_of_ms)
        named = [(command.org_id, command_id(command)) for command in reads.commands]
        planner.command(reads.commands, await self._store.applied_commands(partition, named))
        planner.meter(reads.runs, stored, self._books)
        cache = self._wallets[partition]
        wallets = {org_id: cache[org_id] for org_id in planner.orgs if org_id in cache}
        wallets.update(await self._store.wallets(partition, [o for o in planner.orgs if o not in cache]))
        planner.settle(wallets)
        return planner


def _traced(partition: int, batches: list[PartitionBatch]) -> AbstractContextManager[object]:
    """One span for the batch, never one for each of its records."""
    headers = (record.headers for batch in batches for record in batch.records)
    size = sum(len(batch.records) for batch in batches)
    return tracing.linked("apply usage", headers, {"partition": partition, "records": size})


def _remember(cache: dict[str, Remembered], newer: Mapping[str, Remembered]) -> None:
    """Keep what was written for the next batch, and forget the oldest."""
    cache.update(newer)
    if len(cache) > _CACHED:
        for key in list(islice(cache, len(cache) - _CACHED)):
            del cache[key]


__all__ = ["FenceMissing", "Metering"]
