"""`runmeter replay`: give dead letters another chance, once what made them poison is fixed.

Each letter's original bytes are published to its topic again. Replaying twice is harmless: events fold,
and grants and ledger entries have ids. What is still poison becomes a dead letter again.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit import kafka_access
from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas import topics
from schemas.events import DeadLetter
from schemas.partitioning import partition_of

_decode = msgspec.json.Decoder(DeadLetter).decode
_PUBLISHED_AGAIN = {topic.name for topic in topics.ALL if topic.republished}
_IDLE_MS = 2_000
_AT_ONCE = 200
DEFAULT_LIMIT = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--topic", choices=sorted(_PUBLISHED_AGAIN), help="only letters of this topic")
    parser.add_argument("--reason", help="only letters with this reason, e.g. unknown_price_version")
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, help="at most this many letters")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be replayed")


async def replay(
    kafka: KafkaSettings, *, topic: str | None, reason: str | None, limit: int, dry_run: bool
) -> Counter[tuple[str, str]]:
    """Publish matching letters again; return how many by (topic, reason). Raises `KafkaError`."""
    counted: Counter[tuple[str, str]] = Counter()
    producer = new_producer(kafka)
    await producer.start()
    try:
        waiting = []
        async for letter in letters(kafka):
            if letter.topic not in _PUBLISHED_AGAIN or letter.value is None:
                continue
            if (topic and letter.topic != topic) or (reason and letter.reason != reason):
                continue
            if counted.total() >= limit:
                break
            counted[letter.topic, letter.reason] += 1
            if not dry_run:
                partition = _home(letter, kafka.partitions)
                waiting.append(
                    await producer.send(letter.topic, letter.value, key=letter.key, partition=partition)
                )
            if len(waiting) >= _AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return counted


def _home(letter: DeadLetter, partitions: int) -> int:
    """Return the partition of the letter's organisation: it may have been refused for being elsewhere."""
    return partition_of(letter.key.decode(), partitions) if letter.key else letter.partition


async def letters(kafka: KafkaSettings) -> AsyncIterator[DeadLetter]:
    """Yield the dead letters that Kafka holds now, each record once, oldest first by partition."""
    consumer = AIOKafkaConsumer(**kafka_access.options(kafka), group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topics.DEAD_LETTERS.name, p) for p in range(kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        seen: set[tuple[str, int, int, str]] = set()
        for tp in tps:
            async for letter in _partition(consumer, tp, ends[tp]):
                # A crash between the letter and the batch it came from writes the letter twice. Of a billing
                # record, each receiver that refuses it writes one.
                by = letter.worker if letter.topic == topics.BILLING.name else ""
                at = (letter.topic, letter.partition, letter.offset, by)
                if at not in seen:
                    seen.add(at)
                    yield letter
    finally:
        await consumer.stop()


async def _partition(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> AsyncIterator[DeadLetter]:
    consumer.assign([tp])
    first = (await consumer.beginning_offsets([tp]))[tp]
    if first >= end:
        return
    consumer.seek(tp, first)
    while await consumer.position(tp) < end:
        fetched = (await consumer.getmany(tp, timeout_ms=_IDLE_MS)).get(tp, [])
        if not fetched:
            return
        for record in fetched:
            if record.offset < end:
                yield _decode(record.value)
