"""Requests from Kafka: so many at once, a source's newest only, committed when they are done.

What has no slot yet waits here, and reading goes on: a deletion is done at once, and sites, which may take a
quarter of an hour each, leave a slot to the others. The offset of a partition is committed up to its oldest
request that is not done, whether it waits or is worked on. A worker that dies leaves all of these to the next
one, which begins them anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from ingestion import metrics
from ingestion.pipeline import Pipeline
from kit import kafka_access
from kit.clock import Clock
from kit.publisher import Publisher
from kit.settings import IngestionSettings, KafkaSettings
from kit.tasks import ended
from schemas import topics
from schemas.events import DeadLetter
from schemas.ingestion import IngestionRequest

log = logging.getLogger(__name__)

GROUP = "runmeter-ingestion"
_POLL_MS = 250
_RETRY_S = 1.0
#: Requests that are read and have no slot yet; a few kilobytes each.
_MAX_WAITING = 1_000
_MAX_DELETIONS = 16

_Lane = Literal["deletion", "site", "other"]


@dataclass(eq=False)
class _Work:
    """A request that is not done; without a task it waits."""

    partition: TopicPartition
    offset: int
    request: IngestionRequest
    task: asyncio.Task[None] | None = None

    @property
    def lane(self) -> _Lane:
        if self.request.action == "delete":
            return "deletion"
        return "site" if self.request.kind == "site" else "other"


class Consumer(ConsumerRebalanceListener):
    """Runs the pipeline on what is asked for."""

    def __init__(
        self,
        pipeline: Pipeline,
        publisher: Publisher,
        kafka: KafkaSettings,
        settings: IngestionSettings,
        clock: Clock,
    ) -> None:
        self._pipeline = pipeline
        self._publisher = publisher
        self._kafka = kafka
        self._settings = settings
        self._clock = clock
        self._work: set[_Work] = set()
        #: Those of them that have no slot, in the order they came in.
        self._waiting: list[_Work] = []
        self._newest: dict[str, _Work] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._fault: BaseException | None = None
        #: Whether requests are being read.
        self.connected = False

    async def run(self) -> None:
        """Work until cancelled. Raises what a request's handling raises: the process ends and starts anew."""
        while True:
            try:
                await self._session()
            except (KafkaError, OSError) as error:
                log.warning("Kafka is away", extra={"error": repr(error)})
            finally:
                self.connected = False
                await self._drop(list(self._work))
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            **kafka_access.options(self._kafka),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # The heartbeat is a task of its own; one source may take its whole time between two polls.
            max_poll_interval_ms=self._settings.source_timeout_ms + 600_000,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
        )
        try:
            await consumer.start()
            consumer.subscribe([topics.INGESTION_REQUESTED.name], listener=self)
            self.connected = True
            while True:
                await self._turn(consumer)
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await consumer.stop()

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        room = _MAX_WAITING - len(self._waiting)
        if room > 0:
            timeout_ms = 0 if self._waiting else _POLL_MS
            found = await consumer.getmany(timeout_ms=timeout_ms, max_records=room)
            for partition, records in found.items():
                for record in records:
                    await self._hear(partition, record)
        self._begin()
        if self._waiting:
            tasks = [work.task for work in self._work if work.task]
            await asyncio.wait(tasks, timeout=_POLL_MS / 1000, return_when=asyncio.FIRST_COMPLETED)
        if self._fault is not None:
            raise self._fault
        await self._commit(consumer)
        await self._measure(consumer)

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is None:
                continue
            begun = [work.offset for work in self._work if work.partition == partition]
            with contextlib.suppress(IllegalStateError):
                done = min([await consumer.position(partition), *begun])
                metrics.LAG.labels("ingestion", partition.topic, partition.partition).set(max(0, end - done))

    async def _hear(self, partition: TopicPartition, record: ConsumerRecord) -> None:
        self._next[partition] = record.offset + 1
        try:
            request = msgspec.json.decode(record.value or b"", type=IngestionRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._bury(record, str(error))
            return
        earlier = self._newest.get(request.source_id)
        if earlier is not None:
            if earlier.request.version >= request.version:
                return
            # What it makes would be replaced at once.
            await self._drop([earlier])
        work = _Work(partition, record.offset, request)
        self._work.add(work)
        self._newest[request.source_id] = work
        self._waiting.append(work)

    def _begin(self) -> None:
        """Begin what there are slots for, in the order it came in."""
        begun = Counter(work.lane for work in self._work if work.task)
        left = []
        for work in self._waiting:
            if self._has_slot(work.lane, begun):
                begun[work.lane] += 1
                work.task = asyncio.create_task(self._pipeline.handle(work.request))
                work.task.add_done_callback(partial(self._ended, work))
            else:
                left.append(work)
        self._waiting = left

    def _has_slot(self, lane: _Lane, begun: Counter[_Lane]) -> bool:
        if lane == "deletion":
            return begun[lane] < _MAX_DELETIONS
        slots = self._settings.concurrency
        if lane == "site" and begun[lane] >= max(1, slots - 1):
            return False
        return begun["site"] + begun["other"] < slots

    def _ended(self, work: _Work, task: asyncio.Task[None]) -> None:
        self._forget(work)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = error

    def _forget(self, work: _Work) -> None:
        self._work.discard(work)
        if self._newest.get(work.request.source_id) is work:
            del self._newest[work.request.source_id]

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        done = dict(self._next)
        for work in self._work:
            # Not there: the partition is somebody else's, who begins that work anew.
            if work.partition in done:
                done[work.partition] = min(done[work.partition], work.offset)
        news = {tp: offset for tp, offset in done.items() if offset > self._committed.get(tp, -1)}
        if not news:
            return
        try:
            await consumer.commit(news)
        except (CommitFailedError, IllegalStateError):
            # Somebody else has the partition now, and does it again; that changes nothing.
            for tp in news:
                self._next.pop(tp, None)
            return
        self._committed.update(news)

    async def _drop(self, works: Iterable[_Work]) -> None:
        dropped = set(works)
        # First: what waits must not begin while others end.
        self._waiting = [work for work in self._waiting if work not in dropped]
        await ended(*[work.task for work in dropped if work.task is not None])
        for work in dropped:
            self._forget(work)

    async def _bury(self, record: ConsumerRecord, detail: str) -> None:
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason="undecodable",
            detail=detail[:512],
            worker="ingestion",
            recorded_at_ms=self._clock(),
            key=record.key,
            value=record.value,
        )
        org_id = (record.key or b"unknown").decode(errors="replace")
        await self._publisher.publish(topics.DEAD_LETTERS, org_id, letter)
        metrics.BURIED.inc()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Stop what is not ours any more; whoever has it begins anew."""
        await self._drop([work for work in self._work if work.partition in revoked])
        for partition in revoked:
            self._next.pop(partition, None)
            self._committed.pop(partition, None)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Reading begins at what was committed."""
