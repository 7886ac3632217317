"""Reading what is to be delivered again: a range of the log, or dead letters."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from kit import kafka_access
from kit.settings import KafkaSettings
from schemas.billing import BillingRecord
from schemas.topics import BILLING
from streams.exports.port import Item
from streams.exports.progress import Progress, decode
from streams.exports.role import group_of, role_name
from streams.replay import letters

_WAIT_MS = 5_000
_decode = msgspec.json.Decoder(BillingRecord).decode

Span = tuple[int, int]


async def committed(kafka: KafkaSettings, destination: str) -> Mapping[int, tuple[int, Progress]]:
    """Return, by partition, the next offset the destination is to get, and what is known of it."""
    admin = AIOKafkaAdminClient(**kafka_access.options(kafka))
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group_of(destination))
    finally:
        await admin.close()
    return {
        tp.partition: (at.offset, decode(at.metadata))
        for tp, at in found.items()
        if tp.topic == BILLING.name and at.offset >= 0
    }


async def bounds(kafka: KafkaSettings, at_ms: int | None = None) -> Mapping[int, Span]:
    """Return each partition's first offset (recorded at `at_ms` or later) and the one after its last."""
    async with _reading(kafka) as consumer:
        tps = [TopicPartition(BILLING.name, partition) for partition in range(kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        firsts = await consumer.beginning_offsets(tps)
        if at_ms is not None:
            times = await consumer.offsets_for_times(dict.fromkeys(tps, at_ms))
            firsts = {tp: times[tp].offset if times[tp] is not None else ends[tp] for tp in tps}
    return {tp.partition: (firsts[tp], ends[tp]) for tp in tps}


async def records(
    kafka: KafkaSettings, partition: int, first: int, end: int
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """Yield a partition's records `first` … `end - 1`, some at a time."""
    async with _reading(kafka) as consumer:
        tp = TopicPartition(BILLING.name, partition)
        consumer.assign([tp])
        consumer.seek(tp, first)
        while await consumer.position(tp) < end:
            fetched = (await consumer.getmany(tp, timeout_ms=_WAIT_MS)).get(tp, [])
            yield [record for record in fetched if record.offset < end]


async def refused(kafka: KafkaSettings, destination: str, reason: str) -> AsyncIterator[Item]:
    """Yield the records among the destination's dead letters, with that reason if one is given."""
    async for letter in letters(kafka):
        if letter.topic != BILLING.name or letter.worker.partition("/")[0] != role_name(destination):
            continue
        if (reason and letter.reason != reason) or letter.value is None:
            continue
        try:
            yield Item(letter.offset, _decode(letter.value), letter.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What is no record does not become one.
            continue


@contextlib.asynccontextmanager
async def _reading(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer of no group for as long as the block lasts."""
    consumer = AIOKafkaConsumer(**kafka_access.options(kafka), group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
