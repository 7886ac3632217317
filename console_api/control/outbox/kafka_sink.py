"""The lanes to Kafka: records by their key, in order, acknowledged by every in-sync replica."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from console_api.database.tables import OutboxRow
from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas import topics
from schemas.partitioning import partition_of

_LARGEST = max(topic.max_message_bytes for topic in topics.ALL)


class KafkaSink:
    """Publishes outbox rows. Connects when it is first needed; the outbox is its spool."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def deliver(self, rows: Sequence[OutboxRow]) -> Mapping[int, str]:
        await self.publish((row.topic, row.key, row.payload) for row in rows)
        return {}

    async def publish(self, records: Iterable[tuple[str, str, bytes | None]]) -> None:
        """Publish records, each a topic, a key and a value. Return when Kafka has them all."""
        try:
            producer = await self._connected()
            async with asyncio.timeout(self._settings.ack_timeout_ms / 1000):
                acknowledged = [
                    await producer.send(
                        topic, value, key=key.encode(), partition=partition_of(key, self._settings.partitions)
                    )
                    for topic, key, value in records
                ]
                await asyncio.gather(*acknowledged)
        except (KafkaError, TimeoutError, OSError):
            # After an expired batch an idempotent producer refuses to go on.
            await self.close()
            raise

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(self._settings.ack_timeout_ms / 1000):
                    await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = new_producer(self._settings, max_request_size=_LARGEST)
            try:
                async with asyncio.timeout(self._settings.ack_timeout_ms / 1000):
                    await producer.start()
            except BaseException:
                with contextlib.suppress(Exception):
                    await producer.stop()
                raise
            self._producer = producer
        return self._producer
