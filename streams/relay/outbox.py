"""The ledger's way from Redis to Kafka.

At least once: a crash between publishing and trimming publishes an entry again. It is the same fact under the
same id and version, and readers keep the latest version of each id.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha1
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.clock import Clock
from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas import keys, topics
from schemas.events import LedgerEntry, LimitEvent, encode
from streams import outbox
from streams.relay import metrics
from streams.relay.caps import CapWatch

log = logging.getLogger(__name__)

_TRIM = (Path(__file__).parent / "trim.lua").read_text()

_BATCHES_PER_READ = 64
_BLOCK_MS = 250
_PACE_S = 0.05
_RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_SEND_TIMEOUT_S = 15.0


class OutboxRelay:
    """Publishes every partition's outbox, in order."""

    def __init__(self, redis: Redis, kafka: KafkaSettings, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._caps = CapWatch(redis)
        self._trim = redis.register_script(_TRIM)
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self.published = 0

    async def run(self) -> None:
        """Relay for ever."""
        await asyncio.gather(*[self._relay(p) for p in range(self._kafka.partitions)])

    async def _relay(self, partition: int) -> None:
        """Publish one partition's entries as they appear."""
        attempt = 0
        while True:
            try:
                await self._next(partition)
                attempt = 0
                # What comes meanwhile is read at once: under load fewer, larger reads; the first is not late.
                await asyncio.sleep(_PACE_S)
            except (RedisError, KafkaError, TimeoutError, OSError) as error:
                log.warning("relay waits", extra={"partition": partition, "error": repr(error)})
                if not isinstance(error, RedisError):
                    await self._drop_producer()
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def _next(self, partition: int) -> None:
        """Publish what is in the outbox, or wait a little for something to be there."""
        key = keys.outbox(partition)
        # From the beginning: what was published is gone, also when Redis went back in time meanwhile.
        reply: Any = await self._redis.xread({key: "0"}, count=_BATCHES_PER_READ, block=_BLOCK_MS)
        if not reply:
            return
        messages = reply[key.encode()][0] if isinstance(reply, dict) else reply[0][1]
        entries: dict[str, LedgerEntry] = {}
        limits: list[LimitEvent] = []
        for _, fields in messages:
            said, crossed = outbox.read(fields[b"entries"])
            # Facts so far: the later one of the same entry says it all.
            entries.update({entry.entry_id: entry for entry in said})
            limits += crossed
        caps = await self._caps.crossed(partition, entries.values(), self._clock())
        await self._publish(partition, list(entries.values()), [*limits, *caps])
        await self._caps.told(partition, caps)
        published = [arg for i, fields in messages for arg in (i, _digest(fields[b"entries"]))]
        await self._trim(keys=[key], args=published)
        self.published += len(entries)
        metrics.PUBLISHED.inc(len(entries))

    async def _publish(self, partition: int, entries: list[LedgerEntry], limits: list[LimitEvent]) -> None:
        producer = await self._ready_producer()
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            sent = [
                await producer.send(topic.name, encode(event), key=event.org_id.encode(), partition=partition)
                for topic, events in ((topics.LEDGER, entries), (topics.LIMITS, limits))
                for event in events
            ]
            await asyncio.gather(*sent)

    async def _ready_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = new_producer(self._kafka)
            await producer.start()
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        """An idempotent producer does not survive an expired batch: the next one starts afresh."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(2):
                    await producer.stop()
            except (KafkaError, TimeoutError, OSError):
                log.info("a broken producer was left behind")

    async def close(self) -> None:
        """Close the producer."""
        await self._drop_producer()


def _digest(entry: bytes) -> str:
    # What Redis can compute too; nobody attacks it.
    return sha1(entry, usedforsecurity=False).hexdigest()
