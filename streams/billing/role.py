"""The billing worker: which topic, which store, where to start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from operator import attrgetter

from aiokafka import AIOKafkaProducer
from faust.types import TP
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import redis_client
from kit.publisher import new_producer
from kit.settings import KafkaSettings, RedisSettings, load
from schemas.topics import LEDGER, Topic
from streams.batches import PartitionBatch
from streams.billing.index import Index
from streams.billing.processor import Billing
from streams.lanes import Lanes
from streams.worker import Reader

log = logging.getLogger(__name__)

_RETRY_S = 0.5


class LedgerGone(Exception):
    """Kafka no longer holds ledger entries that were never billed, or the topic was made anew."""


class BillingRole:
    """One record per closed run, and one per change of it."""

    name = "billing"
    topics: tuple[Topic, ...] = (LEDGER,)

    _redis: Redis
    _producer: AIOKafkaProducer
    _reader: Reader
    _billing: Billing

    async def start(self, reader: Reader) -> None:
        """Connect to Redis and to Kafka."""
        kafka = load(KafkaSettings)
        self._reader = reader
        self._redis = await redis_client.opened(load(RedisSettings))
        self._producer = new_producer(kafka)
        await self._producer.start()
        self._billing = Billing(Index(self._redis), self._producer, kafka, reader.seek)

    async def stop(self) -> None:
        """Close the connections."""
        await self._producer.stop()
        await self._redis.aclose()

    async def positions(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Return where `billing.records` says that the ledger was read to. Raises `LedgerGone`."""
        tps = list(assigned)
        bounds = await self._reader.log_bounds(tps)
        return {tp: await self._position(tp, *bounds[tp]) for tp in tps}

    async def _position(self, tp: TP, first: int, end: int) -> int:
        while True:
            try:
                reached = (await self._billing.catch_up(tp.partition)).ledger
                if not reached and first:
                    await self._billing.begin_at(tp.partition, first)
                break
            except RedisError as error:
                log.warning("Redis is away; waiting for it", extra={"error": repr(error)})
                await asyncio.sleep(_RETRY_S)
        if reached > end or 0 < reached < first:
            raise LedgerGone(
                f"{tp.topic}/{tp.partition} is billed up to {reached}, but the log holds {first}…{end}"
            )
        return max(reached, first)

    def lanes(self) -> Lanes[int]:
        """One lane per partition: its records have one writer."""
        return Lanes(attrgetter("partition"), self._handle)

    async def _handle(self, partition: int, batches: list[PartitionBatch]) -> None:
        await self._billing.handle(partition, batches)

    def forget(self) -> None:
        """Drop the places; `positions` sets them anew."""
        self._billing.places.clear()
        self._billing.waiting.clear()

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return the next ledger offset to bill, by partition."""
        places = self._billing.places if hasattr(self, "_billing") else {}
        return {partition: {LEDGER.name: place.ledger} for partition, place in places.items()}

    def waits_for(self) -> str:
        """Return `redis` while a batch waits for it."""
        return "redis" if hasattr(self, "_billing") and self._billing.waiting else ""

    def steps(self) -> int:
        """Return 0: a fence moves with each batch."""
        return 0
