"""`python steady_load.py BOOTSTRAP EVENTS_PER_S`: publish whole runs' events at a steady rate until SIGTERM.

A process of its own, so that making the load does not delay those who measure. Prints the number of events
that Kafka acknowledged so far, once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections import defaultdict

from aiokafka import AIOKafkaProducer
from bench_events import price_book, run_events

from kit.settings import KafkaSettings
from schemas.events import encode
from schemas.partitioning import partition_of

_PARTITIONS = KafkaSettings().partitions
_TICK_S = 0.02


async def main(bootstrap: str, events_per_s: int) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    book, chance, prefix = price_book(), random.Random(1), f"load{time.time_ns()}"
    number = built = acknowledged = 0
    waiting: set[asyncio.Future[object]] = set()
    began = said = time.perf_counter()
    while not stopping.is_set():
        records: defaultdict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
        due = (time.perf_counter() - began) * events_per_s
        while built < due:
            for topic, event in run_events(book, number, prefix, chance):
                key = event.org_id.encode()
                records[topic.name, partition_of(event.org_id, _PARTITIONS)].append((key, encode(event)))
                built += 1
            number += 1
        for (topic_name, partition), pairs in records.items():
            batch = producer.create_batch()
            for key, value in pairs:
                batch.append(key=key, value=value, timestamp=None)
            batch.close()
            waiting.add(await producer.send_batch(batch, topic_name, partition=partition))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _TICK_S)
        if len(waiting) > 2_000:
            await asyncio.wait(waiting)
        waiting = {future for future in waiting if not future.done()}
        if time.perf_counter() - said > 1:
            said, acknowledged = time.perf_counter(), built
            print(acknowledged, flush=True)
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
