"""The peers that only read: each decodes an event and counts it. `counting.py aiokafka|confluent`.

They print a line each 50,000 events, as `stock_faust.py` does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterable

import msgspec

TOPICS = ["usage.runs", "usage.tokens", "usage.tool_calls"]
EVERY = 50_000
BOOTSTRAP = os.environ["RUNMETER_KAFKA_BOOTSTRAP"]
decode = msgspec.json.Decoder().decode


class Counts:
    """What was read so far; its clock starts at the first event."""

    def __init__(self) -> None:
        self._seen = 0
        self._said = 0
        self._began = 0.0
        self._of: dict[str, int] = {}

    def take(self, values: Iterable[bytes]) -> None:
        self._began = self._began or time.perf_counter()
        for value in values:
            instance = decode(value)["instance_id"]
            self._of[instance] = self._of.get(instance, 0) + 1
            self._seen += 1
        if self._seen - self._said >= EVERY:
            self._said = self._seen
            taken = time.perf_counter() - self._began
            print(f"BENCH {self._seen} {taken:.4f} {time.process_time():.4f}", flush=True)


async def aiokafka() -> None:
    """Read with aiokafka's `getmany`."""
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        *TOPICS, bootstrap_servers=BOOTSTRAP, group_id="bench-aiokafka", auto_offset_reset="earliest"
    )
    counts = Counts()
    await consumer.start()
    while True:
        for records in (await consumer.getmany(timeout_ms=1_000, max_records=4_000)).values():
            counts.take([record.value for record in records])


def confluent() -> None:
    """Read with confluent-kafka, as many messages a call as it gives."""
    from confluent_kafka import Consumer

    consumer = Consumer(
        {"bootstrap.servers": BOOTSTRAP, "group.id": "bench-confluent", "auto.offset.reset": "earliest"}
    )
    counts = Counts()
    consumer.subscribe(TOPICS)
    while True:
        counts.take([m.value() for m in consumer.consume(4_000, timeout=0.2) if not m.error()])


if __name__ == "__main__":
    if sys.argv[1] == "aiokafka":
        asyncio.run(aiokafka())
    else:
        confluent()
