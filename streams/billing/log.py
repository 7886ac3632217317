"""`billing.records` read back by its own writer: the truth that the index is made from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit import kafka_access
from kit.settings import KafkaSettings
from schemas.billing import BillingRecord
from schemas.topics import BILLING

_decode = msgspec.json.Decoder(BillingRecord).decode

_WAIT_MS = 5_000


async def records_from(
    kafka: KafkaSettings, partition: int, offset: int
) -> AsyncIterator[tuple[int, list[BillingRecord]]]:
    """Yield what a partition holds from `offset` on, up to what it holds now: the next offset, and records.

    What is no record is left out: nobody but this worker writes there, and an exporter says so if one does.
    Raises `KafkaError`.
    """
    consumer = AIOKafkaConsumer(**kafka_access.options(kafka), group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        tp = TopicPartition(BILLING.name, partition)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        at = max(offset, (await consumer.beginning_offsets([tp]))[tp])
        if at < end:
            consumer.seek(tp, at)
        while at < end:
            fetched = (await consumer.getmany(tp, timeout_ms=_WAIT_MS)).get(tp, [])
            at = await consumer.position(tp)
            yield at, [record for message in fetched if (record := _read(message.value)) is not None]
    finally:
        await consumer.stop()


def _read(value: bytes | None) -> BillingRecord | None:
    try:
        return _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
