"""The warehouse worker: which topics, which tables, where to start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from operator import attrgetter

from aiokafka import AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError
from faust.types import TP

from kit import clickhouse_client, clock
from kit.publisher import new_producer
from kit.settings import ClickHouseSettings, KafkaSettings, WorkerSettings, load
from schemas import rows, topics
from schemas.topics import STORED, Topic
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.lanes import Lanes
from streams.warehouse import plan, recovery
from streams.warehouse.plan import MAX_METADATA, InsertPlan
from streams.warehouse.sink import Sink
from streams.worker import Reader

log = logging.getLogger(__name__)

#: The table whose offsets tell how far a topic was stored.
_TABLE_OF = {
    topics.RUNS.name: rows.RUN_EVENTS.name,
    topics.TOKENS.name: rows.TOKEN_EVENTS.name,
    topics.TOOL_CALLS.name: rows.TOOL_CALL_EVENTS.name,
    topics.CORRECTIONS.name: rows.CORRECTIONS.name,
    topics.LEDGER.name: rows.LEDGER.name,
    topics.DEAD_LETTERS.name: rows.DEAD_LETTERS.name,
}


class WarehouseRole:
    """Raw events, ledger, runs and dead letters in ClickHouse."""

    name = "warehouse"
    topics: tuple[Topic, ...] = STORED

    _producer: AIOKafkaProducer
    _reader: Reader
    _sink: Sink

    async def start(self, reader: Reader) -> None:
        """Connect to Kafka (for dead letters); ClickHouse is connected to when it is first needed."""
        kafka, worker = load(KafkaSettings), load(WorkerSettings)
        self._reader = reader
        self._producer = new_producer(kafka, max_request_size=4 * 1024 * 1024)
        await self._producer.start()
        letters = DeadLetters(
            self._producer,
            f"{self.name}-{worker.instance}",
            clock.now_ms,
            worker.max_poison_permille,
            role=self.name,
            reasons=("invalid_event",),
        )
        self._sink = Sink(self._connect, self._commit, reader.seek, letters, kafka.partitions)

    async def stop(self) -> None:
        """Close the connections."""
        await self._producer.stop()
        await self._sink.close()

    async def _connect(self) -> AsyncClient:
        return await clickhouse_client.connect(load(ClickHouseSettings))

    async def _commit(self, topic: str, offsets: Mapping[int, int], metadata: str) -> None:
        if len(metadata) > MAX_METADATA:
            raise ValueError("a plan must fit into a commit: assign fewer partitions to a worker")
        await self._reader.consumer.thread.commit_with_metadata(
            {TP(topic, partition): OffsetAndMetadata(at, metadata) for partition, at in offsets.items()}
        )

    async def positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Finish plans that were left open, then return where each partition is read on."""
        tps = set(assigned)
        committed = await self._reader.consumer.thread.committed_with_metadata(tps)
        found: dict[TP, int] = {}
        for open_plan in {plan.decode(metadata) for _, metadata in committed.values()} - {None}:
            await self._finish(open_plan)  # type: ignore[arg-type]
        for tp, (offset, metadata) in committed.items():
            found[tp] = _after(plan.decode(metadata), tp, offset)
        if missing := tps - found.keys():
            found.update(await self._stored(missing))
        self._sink.next = {(tp.topic, tp.partition): offset for tp, offset in found.items()}
        return found

    async def _finish(self, open_plan: InsertPlan) -> None:
        records = await recovery.reread(open_plan, load(KafkaSettings))
        log.info("repeating the open plan", extra={"token": open_plan.token, "records": len(records)})
        await self._sink.insert(open_plan, records)

    async def _stored(self, missing: set[TP]) -> Mapping[TP, int]:
        bounds = await self._reader.log_bounds(missing)
        first = {tp: bounds[tp][0] for tp in missing}
        if all(end == 0 for _, end in bounds.values()):
            return first
        while True:
            try:
                async with await self._connect() as client:
                    return await recovery.stored_positions(client, missing, _TABLE_OF, first)
            except (ClickHouseError, OSError) as error:
                log.warning("ClickHouse is away; waiting for it", extra={"error": repr(error)})
                await asyncio.sleep(1.0)

    def lanes(self) -> Lanes[str]:
        """One lane per topic: an insert takes the rows of all its partitions."""
        linger_s = load(WorkerSettings).flush_interval_ms / 1000
        return Lanes(
            attrgetter("topic"), self._handle, linger_s=linger_s, queued_batches=64, max_records=50_000
        )

    async def _handle(self, topic: str, batches: list[PartitionBatch]) -> None:
        await self._sink.handle(topic, batches)

    def forget(self) -> None:
        """Drop the positions; `positions` sets them anew."""
        self._sink.next = {}
        self._sink.waiting.clear()

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return the next offset to insert, by partition and topic."""
        found: dict[int, dict[str, int]] = {}
        if hasattr(self, "_sink"):
            for (topic, partition), offset in self._sink.next.items():
                found.setdefault(partition, {})[topic] = offset
        return found

    def waits_for(self) -> str:
        """Return `clickhouse` while an insert is repeated."""
        return "clickhouse" if hasattr(self, "_sink") and self._sink.waiting else ""

    def steps(self) -> int:
        """Return how many statements of rollups were done: a large batch, far back in time, takes many."""
        return self._sink.steps if hasattr(self, "_sink") else 0


def _after(open_plan: InsertPlan | None, tp: TP, committed: int) -> int:
    """Return where a partition is read on after the plan its commit carries."""
    if open_plan is None:
        return committed
    return next((r.last + 1 for r in open_plan.ranges if r.partition == tp.partition), committed)
