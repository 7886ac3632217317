"""One destination's partitions, batch by batch.

Order of effects, and what a crash in each gap costs:
  1. what is about to be delivered into Kafka's offset commit — crash before: nothing happened
  2. deliver — crash after 1 or within: the next owner finds the range and delivers exactly it again
  3. dead letters of what was refused — crash before: delivered and refused again, a letter may be sent twice
  4. the next range's commit, or one that says that there is none, closes this one

The commit is refused to a worker that lost the partition, so two never deliver different cuts of one log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from kit.clock import Clock
from schemas.topics import BILLING
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.exports import metrics
from streams.exports.port import Batch, Refusal
from streams.exports.progress import Progress, shown
from streams.exports.reading import items_of
from streams.exports.shipper import Shipper

log = logging.getLogger(__name__)

#: (partition, next offset to deliver, metadata) → committed. Raises `KafkaError`.
Commit = Callable[[int, int, str], Awaitable[None]]
Seek = Callable[[str, int, int], Awaitable[None]]

_RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0)
#: A delivery that takes longer waits for the receiver; the worker is not stalled.
_PATIENT_S = 5.0


class Exporter:
    """Delivers partitions. `next` and `progress` are set when they are assigned."""

    def __init__(
        self,
        name: str,
        shipper: Shipper,
        *,
        commit: Commit,
        seek: Seek,
        letters: DeadLetters,
        clock: Clock,
        tenants: frozenset[str],
        max_records: int,
    ) -> None:
        self._name, self._metrics = name, metrics.of(name)
        self._shipper = shipper
        self._commit = commit
        self._seek = seek
        self._letters = letters
        self._clock = clock
        self._tenants = tenants
        self._max_records = max_records
        self.next: dict[int, int] = {}
        self.progress: dict[int, Progress] = {}
        #: Records of a range that is to be delivered as one, whose end has not been read yet.
        self._held: dict[int, list[ConsumerRecord]] = {}
        self._delivering: dict[int, float] = {}

    def assign(self, places: dict[int, tuple[int, Progress]]) -> None:
        """Take over partitions: where each goes on, and what is known of it."""
        self.next = {partition: offset for partition, (offset, _) in places.items()}
        self.progress = {partition: progress for partition, (_, progress) in places.items()}
        self._held.clear()
        self._delivering.clear()
        self._metrics.failing.set(0)

    def waits(self) -> bool:
        """Return whether a delivery has taken long enough to say that the receiver is waited for."""
        now = time.monotonic()
        return any(now - since > _PATIENT_S for since in self._delivering.values())

    async def handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        """Deliver what lies beyond the position; return when the receiver has it, or it is a dead letter."""
        records = await self._cut(partition, batches)
        while records and partition in self.next:
            chunk = self._chunk(partition, records)
            if not chunk:
                self._held[partition] = records
                return
            await self._deliver(partition, chunk)
            records = records[len(chunk) :]
            self.next[partition] = chunk[-1].offset + 1
        if partition in self.next:
            await self._write_down(partition)

    def _chunk(self, partition: int, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Return what is delivered next; nothing while an open range has not been read to its end."""
        last = self.progress[partition].last
        if last < 0:
            return records[: self._max_records]
        return [r for r in records if r.offset <= last] if records[-1].offset >= last else []

    async def _deliver(self, partition: int, chunk: Sequence[ConsumerRecord]) -> None:
        items, bad = items_of(chunk, self._tenants)
        refusals: list[Refusal] = []
        if items:
            before = self.progress[partition]
            # Of a range that was found open, somebody may have delivered a part, and not lately.
            since_ms = before.since_ms if before.last >= 0 else 0
            batch = Batch(partition, chunk[0].offset, chunk[-1].offset, items)
            await self._set(partition, last=batch.last, since_ms=since_ms or self._clock())
            refusals = await self._ship(batch, since_ms)
        await self._bury(chunk, refusals, bad)
        taken = len(items) - len(refusals)
        self._metrics.delivered.inc(taken)
        known = self.progress[partition]
        self.progress[partition] = msgspec.structs.replace(
            known,
            last=-1,
            since_ms=0,
            failing=False,
            delivered=known.delivered + taken,
            refused=known.refused + len(refusals) + len(bad),
        )
        self._count_failing()

    async def _ship(self, batch: Batch, since_ms: int) -> list[Refusal]:
        async def told(error: str, since_ms: int) -> None:
            now_ms = self._clock()
            await self._set(
                batch.partition, since_ms=since_ms, failing=True, error=shown(error), error_at_ms=now_ms
            )
            self._count_failing()

        self._delivering[batch.partition] = time.monotonic()
        try:
            return await self._shipper.ship(batch, since_ms, told)
        finally:
            self._delivering.pop(batch.partition, None)

    async def _bury(
        self,
        chunk: Sequence[ConsumerRecord],
        refusals: Sequence[Refusal],
        bad: Sequence[tuple[ConsumerRecord, str]],
    ) -> None:
        sources = {record.offset: record for record in chunk}
        letters = [self._letters.letter(source, "invalid_event", detail) for source, detail in bad]
        letters += [self._letters.letter(sources[r.item.offset], r.reason, r.detail) for r in refusals]
        for letter in letters:
            self._metrics.refused(letter.reason)
        # Organisations that no receiver knows may be most of them: that says nothing of the log.
        await self._letters.send(letters, len(chunk) - len(letters), poison=len(bad))

    async def _set(self, partition: int, **changes: object) -> None:
        self.progress[partition] = msgspec.structs.replace(self.progress[partition], **changes)
        await self._write_down(partition)

    async def _write_down(self, partition: int) -> None:
        """Commit where the partition stands, as often as it takes. A worker that lost it is never accepted:
        its lanes are closed when it learns of that, and this with them."""
        attempt = 0
        while True:
            try:
                await self._commit(partition, self.next[partition], self.progress[partition].encode())
                return
            except KafkaError as error:
                log.warning("commit refused", extra={"partition": partition, "error": repr(error)})
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def _cut(self, partition: int, batches: list[PartitionBatch]) -> list[ConsumerRecord]:
        """Return the records to deliver, held ones first; go back where some are missing."""
        if partition not in self.next:
            return []
        records = self._held.pop(partition, [])
        position = records[-1].offset + 1 if records else self.next[partition]
        for batch in batches:
            if batch.next_offset <= position:
                continue
            if batch.position > position:
                await self._seek(BILLING.name, partition, position)
                break
            records += [record for record in batch.records if record.offset >= position]
            position = batch.next_offset
        return records

    def _count_failing(self) -> None:
        failing = sum(progress.failing for progress in self.progress.values())
        self._metrics.failing.set(failing)
