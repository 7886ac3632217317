"""A topic of another Kafka: the records as they are, keyed by organisation, `record_id` as a header."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from kit.publisher import new_producer
from kit.settings.exports import KafkaDestination
from streams.exports.port import Batch, Refusal, Refused, Unavailable


class KafkaTopic:
    """One topic. After a failed send the next one has a new producer: an idempotent one does not recover."""

    repeatable_ms = 0

    def __init__(self, settings: KafkaDestination) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def deliver(self, batch: Batch) -> list[Refusal]:
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                producer = await self._ready()
                sent = [
                    await producer.send(
                        self._settings.topic,
                        item.raw,
                        key=item.record.org_id.encode(),
                        headers=[("record_id", item.record.record_id.encode())],
                    )
                    for item in batch.items
                ]
                await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            raise Refused("too_large", str(error)) from error
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise Unavailable(f"Kafka did not take it: {error!r}") from error
        return []

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = new_producer(self._settings.access, request_timeout_ms=self._settings.timeout_ms)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def spans(self, partition: int) -> list[tuple[int, int]]:
        return []

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(2):
                    await producer.stop()
            except (KafkaError, TimeoutError, OSError):
                return
