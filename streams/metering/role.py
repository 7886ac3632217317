"""The metering worker: which topics, which stores, where to start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from operator import attrgetter

from aiokafka import AIOKafkaProducer
from faust.types import TP
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import clock, redis_client
from kit.publisher import new_producer
from kit.settings import KafkaSettings, RedisSettings, WorkerSettings, load
from kit.tasks import ended
from schemas.topics import METERED, Topic
from streams.batches import PartitionBatch
from streams.dead_letters import DeadLetters
from streams.lanes import Lanes
from streams.metering.processor import Metering
from streams.metering.reader import REASONS
from streams.metering.store import FenceMissing, PartitionStore
from streams.worker import Reader

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0


class LogMismatch(Exception):
    """Kafka's log and Redis' fence contradict each other: a topic was recreated, or retention overtook us."""


class MeteringRole:
    """Counters, charges and ledger entries, by organisation."""

    name = "metering"
    topics: tuple[Topic, ...] = METERED

    _redis: Redis
    _producer: AIOKafkaProducer
    _reader: Reader
    _metering: Metering
    _watching: asyncio.Task[None]

    async def start(self, reader: Reader) -> None:
        """Connect to Redis and to Kafka (for dead letters)."""
        kafka, worker = load(KafkaSettings), load(WorkerSettings)
        self._reader = reader
        self._redis = await redis_client.opened(load(RedisSettings))
        self._producer = new_producer(kafka, max_request_size=4 * 1024 * 1024)
        await self._producer.start()
        letters = DeadLetters(
            self._producer,
            f"{self.name}-{worker.instance}",
            clock.now_ms,
            worker.max_poison_permille,
            role=self.name,
            reasons=REASONS,
        )
        self._metering = Metering(self._redis, letters, worker, kafka.partitions, reader.seek)
        self._watching = asyncio.create_task(self._watch_redis())

    async def stop(self) -> None:
        """Close the connections."""
        await ended(self._watching)
        await self._producer.stop()
        await self._redis.aclose()

    async def _watch_redis(self) -> None:
        """Look every second whether Redis went back in time, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._metering.notice_rewinds()
            except (RedisError, FenceMissing) as error:
                # The next batch, or the next look, meets it again; a batch stops the worker where it must.
                log.warning("cannot look at Redis", extra={"error": repr(error)})

    async def positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Return the fences. Raises `FenceMissing` or `LogMismatch`: then nothing may be charged."""
        tps = set(assigned)
        while True:
            try:
                return await self._positions(tps)
            except RedisError as error:
                log.warning("Redis is away; waiting for the fences", extra={"error": repr(error)})
                await asyncio.sleep(0.5)

    async def _positions(self, tps: set[TP]) -> Mapping[TP, int]:
        bounds = await self._reader.log_bounds(tps)
        store = PartitionStore(self._redis)
        found: dict[TP, int] = {}
        for partition in {tp.partition for tp in tps}:
            # A log that never held a record has nothing to be charged twice: its fence may be created.
            unused = [tp.topic for tp in tps if tp.partition == partition and bounds[tp][1] == 0]
            await store.create_fences(partition, unused)
            position = await self._metering.load(partition)
            found.update({TP(topic, partition): fence for topic, fence in position.fences.items()})
        for tp, fence in found.items():
            first, end = bounds[tp]
            if not first <= fence <= end:
                raise LogMismatch(f"{tp.topic}/{tp.partition}: fence {fence} is outside {first}…{end}")
        return found

    def lanes(self) -> Lanes[int]:
        """One lane per partition: a partition's state has one writer."""
        return Lanes(attrgetter("partition"), self._handle, linger_s=load(WorkerSettings).gather_ms / 1000)

    async def _handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        await self._metering.handle(partition, batches)

    def forget(self) -> None:
        """Drop what is cached of the partitions."""
        self._metering.forget_all()

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return the fences last seen."""
        return self._metering.fences() if hasattr(self, "_metering") else {}

    def waits_for(self) -> str:
        """Return what keeps a batch from being applied: `redis` does not answer, or lacks `price_books`."""
        return next(iter(self._metering.waiting.values()), "") if hasattr(self, "_metering") else ""

    def steps(self) -> int:
        """Return 0: a batch is one script, and its fences move with it."""
        return 0


__all__ = ["FenceMissing", "LogMismatch", "MeteringRole"]
