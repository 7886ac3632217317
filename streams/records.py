"""Fills a Redis with what the control plane last said of keys, instances and prices, while it is down.

It stands on `control.records`. Redis is not marked as whole by it: what the control plane had not published
yet is not there, so that what is missing may still only be lost.
"""

from __future__ import annotations

import logging

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from kit import kafka_access
from kit.projections import Write, Writer
from kit.settings import KafkaSettings
from schemas.control import ControlRecord
from schemas.topics import CONTROL_RECORDS

log = logging.getLogger(__name__)

#: Without a record for so long, Kafka is taken for away.
_PATIENCE_MS = 30_000

_decode = msgspec.json.Decoder(ControlRecord).decode


async def restore(kafka: KafkaSettings, redis: Redis) -> int:
    """Write what the topic holds now; return how many projections changed. Again is harmless.

    What Redis has a newer version of stays. Raises `KafkaError`, `RedisError` and `TimeoutError`.
    """
    consumer = AIOKafkaConsumer(
        **kafka_access.options(kafka),
        group_id=None,
        enable_auto_commit=False,
        max_partition_fetch_bytes=CONTROL_RECORDS.max_message_bytes,
    )
    writer, changed = Writer(redis), 0
    await consumer.start()
    try:
        places = [TopicPartition(CONTROL_RECORDS.name, p) for p in range(kafka.partitions)]
        ends = await consumer.end_offsets(places)
        for place in places:
            changed += await writer.write(await _latest(consumer, place, ends[place]))
    finally:
        await consumer.stop()
    return changed


async def _latest(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> list[Write]:
    """Return a partition's records as they are at its end, one for each key."""
    found: dict[bytes, Write] = {}
    consumer.assign([place])
    await consumer.seek_to_beginning(place)
    while (before := await consumer.position(place)) < end:
        for record in (await consumer.getmany(place, timeout_ms=_PATIENCE_MS)).get(place, []):
            _fold(found, record.key or b"", record.value)
        if await consumer.position(place) == before:
            raise TimeoutError(f"Kafka gave no record of {place.topic} within {_PATIENCE_MS // 1000} s")
    return list(found.values())


def _fold(found: dict[bytes, Write], key: bytes, value: bytes | None) -> None:
    """Let a record hold, unless a newer one of its key came before it."""
    if not value:
        found.pop(key, None)
        return
    try:
        record = _decode(value)
    except msgspec.DecodeError as error:
        # Of the error only its kind: its text may hold what stands in the record.
        log.warning("a record was skipped", extra={"key": repr(key), "error": type(error).__name__})
        return
    if key not in found or found[key].version <= record.version:
        found[key] = Write(
            record.key,
            record.version,
            bytes(record.value),
            lifetime_ms=record.lifetime_ms,
            member_of=record.member_of,
        )
