"""One topic's batches → one planned, tokened insert per table.

Order of effects, and what a crash in each gap costs:
  1. plan into Kafka's offset commit — crash before: nothing happened
  2. insert, table by table, under the plan's token — crash after 1 or in between: the next owner finds the
     plan open and repeats it; what had landed is dropped by its token
  3. the buckets of usage that new versions of runs belong to are computed anew — crash before: the plan is
     still open, and repeating it ends with this
  4. the next plan's commit closes this one
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from kit import clock, tracing
from schemas.rows import RUNS, Table
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.warehouse import cluster, metrics, rollups
from streams.warehouse.plan import InsertPlan, plan_of
from streams.warehouse.rows import Row, rows_of

log = logging.getLogger(__name__)

#: (topic, {partition: offset}, metadata) → committed; raises when this worker no longer owns a partition.
Commit = Callable[[str, Mapping[int, int], str], Awaitable[None]]
#: Something done to ClickHouse that may be repeated.
Effect = Callable[[AsyncClient], Awaitable[None]]
Seek = Callable[[str, int, int], Awaitable[None]]

_RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

#: Without these a repeated insert is a second one (they are off or asynchronous by default).
_INSERT_SETTINGS = {
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "async_insert": 0,
    "max_insert_block_size": 1_048_576,
    **cluster.SETTINGS,
}


class Sink:
    """Inserts batches exactly once. Keeps, per topic and partition, the next offset to insert."""

    def __init__(
        self,
        client: Callable[[], Awaitable[AsyncClient]],
        commit: Commit,
        seek: Seek,
        letters: DeadLetters,
        partitions: int,
    ) -> None:
        self._connect = client
        self._client: AsyncClient | None = None
        self._commit = commit
        self._seek = seek
        self._letters = letters
        self._partitions = partitions
        self.next: dict[tuple[str, int], int] = {}
        #: Tokens of inserts that are repeated because ClickHouse refused them or did not answer.
        self.waiting: set[str] = set()
        #: Statements of rollups that were done.
        self.steps = 0

    async def handle(self, topic: str, batches: list[PartitionBatch]) -> None:
        """Plan and insert what lies beyond the positions; return when ClickHouse has it."""
        records = await self._cut(batches)
        if not records:
            return
        plan = plan_of(topic, records)
        await self._write_down(plan)
        named: dict[str, tracing.Value] = {"topic": topic, "records": len(records)}
        headers = (record.headers for record in records)
        with metrics.INSERT_SECONDS.time(), tracing.linked("store usage", headers, named):
            await self.insert(plan, records)
        metrics.BATCH.observe(len(records))
        newest = max(record.timestamp for record in records)
        metrics.AGE_SECONDS.observe(max(0, clock.now_ms() - newest) / 1000)
        for r in plan.ranges:
            if (topic, r.partition) in self.next:
                self.next[topic, r.partition] = r.last + 1

    async def _write_down(self, plan: InsertPlan) -> None:
        """Commit the plan, as often as it takes. A member that lost its partitions is never accepted: its
        lanes are closed when it learns of that, and this with them."""
        attempt = 0
        while True:
            try:
                await self._commit(plan.topic, {r.partition: r.first for r in plan.ranges}, plan.encode())
                return
            except KafkaError as error:
                metrics.REFUSED_PLANS.inc()
                log.warning("plan refused", extra={"token": plan.token, "error": repr(error)})
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def insert(self, plan: InsertPlan, records: Sequence[ConsumerRecord]) -> None:
        """Insert a plan's records, as often as it takes: its token makes that once."""
        tables, bad = rows_of(records, self._partitions)
        # The metering worker sends the dead letters of the topics it reads; the ledger's are ours.
        letters = [
            self._letters.letter(record, poison.reason, str(poison))
            for record, poison in bad
            if record.topic == "credits.ledger"
        ]
        await self._letters.send(letters, len(records) - len(bad))
        for table, rows in tables:
            token = f"{plan.token}:{table.name}"
            with tracing.span(f"INSERT {table.name}", tracing.SpanKind.CLIENT, {"rows": len(rows)}):
                await self._until_done(self._inserting(table, rows, token), token)
            if table is RUNS:
                await self._until_done(self._refreshing(rollups.touched(rows)), f"{token}:rollups")

    def _inserting(self, table: Table, rows: list[Row], token: str) -> Effect:
        async def insert(client: AsyncClient) -> None:
            await client.insert(
                table.name,
                rows,
                column_names=list(table.columns),
                column_type_names=list(table.columns.values()),
                settings={**_INSERT_SETTINGS, "insert_deduplication_token": token},
            )

        return insert

    def _refreshing(self, minutes: set[rollups.Bucket]) -> Effect:
        async def refresh(client: AsyncClient) -> None:
            async for _ in rollups.refresh(client, minutes):
                self.steps += 1

        return refresh

    async def _until_done(self, effect: Effect, what: str) -> None:
        attempt = 0
        while True:
            try:
                if self._client is None:
                    self._client = await self._connect()
                await effect(self._client)
                self.waiting.discard(what)
                metrics.AWAY.set(0)
                return
            except (ClickHouseError, OSError, TimeoutError) as error:
                metrics.FAILED.inc()
                metrics.AWAY.set(1)
                log.warning("insert failed, repeating it", extra={"what": what, "error": repr(error)})
                self.waiting.add(what)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    async def _cut(self, batches: list[PartitionBatch]) -> list[ConsumerRecord]:
        """Return the records to insert, by partition; go back where some are missing."""
        reached: dict[tuple[str, int], int] = {}
        kept: dict[int, list[ConsumerRecord]] = {}
        for batch in batches:
            at = (batch.topic, batch.partition)
            if at not in self.next:
                continue
            position = reached.get(at, self.next[at])
            if batch.next_offset <= position:
                continue
            if batch.position > position:
                if at not in reached:
                    metrics.SEEKS.inc()
                    await self._seek(batch.topic, batch.partition, position)
                continue
            kept.setdefault(batch.partition, []).extend(r for r in batch.records if r.offset >= position)
            reached[at] = batch.next_offset
        return [record for partition in sorted(kept) for record in kept[partition]]
