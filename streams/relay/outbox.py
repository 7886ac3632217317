"""The ledger's way from Redis to Kafka.

At least once: a crash between publishing and trimming publishes an entry again. It is the same fact under the
same id and version, and readers keep the latest version of each id.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas import keys, topics
from schemas.events import LedgerEntry, LimitEvent, encode
from streams import outbox

log = logging.getLogger(__name__)

_BATCHES_PER_READ = 64
_BLOCK_MS = 250
_RETRY_S = (0.1, 0.25, 0.5, 1.0, 2.0)
_SEND_TIMEOUT_S = 15.0


class OutboxRelay:
    """Publishes every partition's outbox, in order."""

    def __init__(self, redis: Redis, kafka: KafkaSettings) -> None:
        self._redis = redis
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self.published = 0

    async def run(self) -> None:
        """Relay for ever."""
        await asyncio.gather(*[self._relay(p) for p in range(self._kafka.partitions)])

    async def _relay(self, partition: int) -> None:
        """Publish one partition's entries as they appear."""
        last, attempt = b"0", 0
        while True:
            try:
                last = await self._next(partition, last)
                attempt = 0
            except (RedisError, KafkaError, TimeoutError, OSError) as error:
                log.warning("relay waits", extra={"partition": partition, "error": repr(error)})
                if not isinstance(error, RedisError):
                    await self._drop_producer()
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
                # Redis may have gone back in time: what is in the outbox then is what is left to do.
                last = b"0"

    async def _next(self, partition: int, last: bytes) -> bytes:
        key = keys.outbox(partition)
        reply: Any = await self._redis.xread({key: last}, count=_BATCHES_PER_READ, block=_BLOCK_MS)
        if not reply:
            return last
        messages = reply[key.encode()][0] if isinstance(reply, dict) else reply[0][1]
        told = [outbox.read(fields[b"entries"]) for _, fields in messages]
        await self._publish(partition, told)
        newest: bytes = messages[-1][0]
        await self._redis.xtrim(key, minid=f"{_seq(newest) + 1}-0", approximate=False)
        self.published += sum(len(entries) for entries, _ in told)
        return newest

    async def _publish(self, partition: int, told: list[tuple[list[LedgerEntry], list[LimitEvent]]]) -> None:
        producer = await self._ready_producer()
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            sent = [
                await producer.send(topic.name, encode(event), key=event.org_id.encode(), partition=partition)
                for entries, limits in told
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


def _seq(stream_id: bytes) -> int:
    return int(stream_id.split(b"-")[0])
