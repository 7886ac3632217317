"""A Faust transport that hands an agent one partition batch per fetch instead of one record.

Stock Faust spends its time in `Consumer._drain_messages`, which awaits twice per record; with a batch as the
message that cost is paid once per fetch and Faust's workers, rebalancing and supervision stay as they are.

Offsets belong to the sink, not to Kafka: topics are declared with `acks=False`, and `seek_to_committed` asks
the worker where its sink stands. Faust's own acking would commit past a batch that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.batches import PartitionBatch

#: Given the assigned partitions, returns the offset each is to be read from.
SeekTargets = Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]]

#: aiokafka asks a broker again only when its last fetch has returned, so a partition that was just drained
#: waits for the others' long poll: this bounds that wait.
FETCH_MAX_WAIT_MS = 50


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches in its own thread and tracks, per partition, where each batch began.

    Positions are only touched in this thread: by a seek, and right after aiokafka handed records out, which
    it does from its current position. So a batch can never claim to follow a seek that it preceded.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positions: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        # All topics of partition p must go to one worker, which holds that partition's state.
        consumer._partition_assignment_strategy = [RangePartitionAssignor]
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, list[PartitionBatch]]:
        fetched = await super()._fetch_records(*args, **kwargs)
        batches = {}
        for tp, records in fetched.items():
            position = self._positions.get(tp, records[0].offset)
            batch = PartitionBatch(tp.topic, tp.partition, position, records)
            self._positions[tp] = batch.next_offset
            batches[tp] = [batch]
        return batches

    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            consumer.seek(tp, offset)
            self._positions[tp] = offset

    async def commit_with_metadata(self, offsets: Mapping[TP, aiokafka.structs.OffsetAndMetadata]) -> None:
        """Commit offsets with metadata. Raises `KafkaError`, also when another member owns the partition."""
        named = {driver.ensure_aiokafka_TP(tp): value for tp, value in offsets.items()}
        await self._in_thread(self._ensure_consumer().commit(named))

    async def committed_with_metadata(self, tps: Iterable[TP]) -> Mapping[TP, tuple[int, str]]:
        """Return the group's committed offsets and their metadata, where there is a commit."""
        coordinator = self._ensure_consumer()._coordinator
        named = [driver.ensure_aiokafka_TP(tp) for tp in tps]
        found = await self._in_thread(coordinator.fetch_committed_offsets(named))
        return {
            TP(tp.topic, tp.partition): (value.offset, value.metadata)
            for tp, value in found.items()
            if value.offset >= 0
        }

    async def _in_thread(self, call: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.thread_loop))


class _NothingRead(dict[TP, int | None]):
    """Stands for Faust's memory of what it has delivered, and remembers nothing.

    Faust drops what lies below it, and writes to it *after* a delivery: a seek in between would be forgotten,
    and everything read again after it dropped. Whether a batch is new is for its sink to say.
    """

    def __getitem__(self, tp: TP) -> None:
        return None


class BatchConsumer(driver.Consumer):
    """Delivers `PartitionBatch`es, starting where the sink stands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NothingRead()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: PartitionBatch) -> ConsumerMessage:
        first = record.records[0]
        return ConsumerMessage(
            record.topic,
            record.partition,
            first.offset,
            first.timestamp / 1000,
            first.timestamp_type,
            (),
            None,
            record,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    @property
    def thread(self) -> BatchConsumerThread:
        """The thread that talks to Kafka."""
        return self._thread

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to its sink's position and return the positions."""
        targets = await self.app.transport.seek_targets(self.assignment())
        await self.seek_wait(targets)
        return targets


class BatchTransport(driver.Transport):
    """Assign an instance to `app.transport` before the app starts."""

    Consumer: ClassVar[type] = BatchConsumer

    def __init__(self, *args: Any, seek_targets: SeekTargets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seek_targets = seek_targets
