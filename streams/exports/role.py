"""The exporter of one destination: which topic, which receiver, where to start."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from operator import attrgetter

from aiokafka import AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from kit import clock
from kit.publisher import new_producer
from kit.settings import ExportsSettings, KafkaSettings, RedisSettings, WorkerSettings, load
from kit.settings.exports import Destination as DestinationSettings
from schemas.topics import BILLING, Topic
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.exports import kinds, progress
from streams.exports.exporter import Exporter
from streams.exports.port import REASONS, Destination
from streams.exports.shipper import Shipper
from streams.lanes import Lanes
from streams.worker import Reader


class RecordsGone(Exception):
    """Kafka no longer holds records that the destination never took."""


def role_name(destination: str) -> str:
    """Return the role of a destination's exporter; its consumer group is `runmeter-<role>`."""
    return f"export-{destination}"


def group_of(destination: str) -> str:
    """Return the consumer group that says how far a destination is."""
    return f"runmeter-{role_name(destination)}"


class ExportRole:
    """Everything one receiver is told."""

    topics: tuple[Topic, ...] = (BILLING,)

    _producer: AIOKafkaProducer
    _reader: Reader
    _destination: Destination
    _exporter: Exporter

    def __init__(self, destination: str, settings: DestinationSettings) -> None:
        self.name = role_name(destination)
        self._called = destination
        self._settings = settings

    async def start(self, reader: Reader) -> None:
        """Connect to Kafka (for dead letters); the receiver is connected to when it is first needed."""
        kafka, worker, exports = load(KafkaSettings), load(WorkerSettings), load(ExportsSettings)
        self._reader = reader
        self._producer = new_producer(kafka, max_request_size=4 * 1024 * 1024)
        await self._producer.start()
        # A name holds no slash, so a letter's worker tells which destination refused it.
        letters = DeadLetters(
            self._producer,
            f"{self.name}/{worker.instance}",
            clock.now_ms,
            worker.max_poison_permille,
            role=self.name,
            reasons=REASONS,
        )
        self._destination = kinds.made(self._settings, clock.now_ms, load(RedisSettings))
        chance = random.SystemRandom().random
        shipper = Shipper(self._called, self._destination, exports, clock=clock.now_ms, chance=chance)
        self._exporter = Exporter(
            self._called,
            shipper,
            commit=self._commit,
            seek=reader.seek,
            letters=letters,
            clock=clock.now_ms,
            tenants=frozenset(self._settings.tenants),
            max_records=self._settings.max_records,
        )

    async def stop(self) -> None:
        """Close the connections."""
        await self._producer.stop()
        await self._destination.close()

    async def _commit(self, partition: int, offset: int, metadata: str) -> None:
        at = OffsetAndMetadata(offset, metadata)
        await self._reader.consumer.thread.commit_with_metadata({TP(BILLING.name, partition): at})

    async def positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Return where the group's commits stand. Raises `RecordsGone` when the log begins after one."""
        tps = list(assigned)
        committed = await self._reader.consumer.thread.committed_with_metadata(tps)
        bounds = await self._reader.log_bounds(tps)
        places: dict[int, tuple[int, progress.Progress]] = {}
        for tp in tps:
            first, end = bounds[tp]
            never = (first if self._settings.start == "earliest" else end, "")
            offset, metadata = committed.get(tp, never)
            if not first <= offset <= end:
                raise RecordsGone(f"{tp.topic}/{tp.partition}: {offset} is outside {first}…{end}")
            places[tp.partition] = (offset, progress.decode(metadata))
        self._exporter.assign(places)
        return {tp: places[tp.partition][0] for tp in tps}

    def lanes(self) -> Lanes[int]:
        """One lane per partition: the revisions of a run arrive in order."""
        return Lanes(
            attrgetter("partition"),
            self._handle,
            linger_s=self._settings.flush_interval_ms / 1000,
            queued_batches=64,
            max_records=10_000,
        )

    async def _handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        await self._exporter.handle(partition, batches)

    def forget(self) -> None:
        """Drop the positions; `positions` sets them anew."""
        self._exporter.assign({})

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return the next offset to deliver, by partition."""
        known = self._exporter.next if hasattr(self, "_exporter") else {}
        return {partition: {BILLING.name: offset} for partition, offset in known.items()}

    def waits_for(self) -> str:
        """Return the destination while it keeps a delivery waiting."""
        return self._called if hasattr(self, "_exporter") and self._exporter.waits() else ""

    def steps(self) -> int:
        """Return 0: a fence moves with each batch."""
        return 0
