"""Realistic events for the benchmarks: what a stream of answered runs leaves on the topics.

A run is one `started`, its model calls (most stream for a few seconds and report once a second), some tool
calls, and one closing event: 7 events on average.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer

from metering.catalog import list_price_book
from metering.prices import PriceBook
from schemas import topics
from schemas.events import RunEvent, TokenEvent, ToolCallEvent, UsageEvent, encode
from schemas.partitioning import partition_of
from schemas.topics import Topic

_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "claude-sonnet-4-5")
ORGS = 200


def run_events(
    book: PriceBook, number: int, prefix: str, chance: random.Random
) -> Iterator[tuple[Topic, UsageEvent]]:
    """Yield the events of one run, in the order they happen."""
    now = time.time_ns() // 1_000_000
    org = number % ORGS
    whose = {
        "tenant_id": "tenant_bench",
        "org_id": f"org_bench_{org:04}",
        "instance_id": f"inst_bench_{org:04}_{number % 3}",
        "run_id": f"run_{prefix}_{number:010}",
        "channel": "api",
        "key_id": "key_bench",
        "price_version": book.version,
        "started_at_ms": now,
        "occurred_at_ms": now,
    }
    model = _MODELS[number % len(_MODELS)]
    prompt = chance.randint(50, 1_500)
    yield topics.RUNS, RunEvent(**whose, status="started", model=model)
    seconds = chance.choice((1, 2, 3, 4, 6))
    for seq in range(1, seconds + 1):
        yield (
            topics.TOKENS,
            TokenEvent(
                **whose,
                call_id=f"{whose['run_id']}-1",
                seq=seq,
                model=model,
                input_uncached=prompt,
                output=80 * seq,
                final=seq == seconds,
                source="provider" if seq == seconds else "estimate",
            ),
        )
    tools = chance.choice((0, 0, 1, 2))
    for tool in range(tools):
        yield (
            topics.TOOL_CALLS,
            ToolCallEvent(
                **whose, tool_call_id=f"{whose['run_id']}-t{tool}", tool="calculator", duration_ms=4
            ),
        )
    yield (
        topics.RUNS,
        RunEvent(
            **whose,
            status="completed",
            model=model,
            tokens_in=prompt,
            tokens_out=80 * seconds,
            tool_calls=tools,
            duration_ms=seconds * 1_000,
        ),
    )


def price_book() -> PriceBook:
    """Return the book the events name."""
    from datetime import UTC, datetime

    return list_price_book(datetime.now(UTC))


async def publish_backlog(bootstrap: str, partitions: int, runs: int, prefix: str) -> int:
    """Put the events of `runs` runs on the topics as fast as Kafka takes them; return how many."""
    book, chance = price_book(), random.Random(7)
    lists: defaultdict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
    for number in range(runs):
        for topic, event in run_events(book, number, prefix, chance):
            at = (topic.name, partition_of(event.org_id, partitions))
            lists[at].append((event.org_id.encode(), encode(event)))
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=262_144)
    await producer.start()
    try:
        for (topic_name, partition), records in lists.items():
            await _send(producer, topic_name, partition, records)
        await producer.flush()
    finally:
        await producer.stop()
    return sum(len(records) for records in lists.values())


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, records: list[tuple[bytes, bytes]]
) -> None:
    at = 0
    while at < len(records):
        batch = producer.create_batch()
        while at < len(records) and batch.append(key=records[at][0], value=records[at][1], timestamp=None):
            at += 1
        batch.close()
        await producer.send_batch(batch, topic, partition=partition)
