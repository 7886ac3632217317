"""Kafka and Valkey of their own for a benchmark, and worker processes whose processor time is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from bench_events import price_book
from bench_load import cpu_of

from kit import redis_client
from kit.settings import KafkaSettings, RedisSettings
from schemas import keys
from schemas.topics import METERED
from stack import ports, servers, topics
from stack.process import Child


@dataclass(frozen=True)
class Rig:
    """Running servers."""

    kafka: KafkaSettings
    redis: RedisSettings
    folder: Path
    #: The servers' process ids by name.
    pids: Mapping[str, int]

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a worker needs to find them."""
        return {
            **os.environ,
            "RUNMETER_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "RUNMETER_KAFKA_PARTITIONS": str(self.kafka.partitions),
            "RUNMETER_REDIS_URL": self.redis.url,
            "RUNMETER_DATA_DIR": str(self.folder),
            **more,
        }


@contextlib.asynccontextmanager
async def servers_for(folder: Path, partitions: int = 8) -> AsyncIterator[Rig]:
    """Run Kafka and Valkey on free ports, with topics, fences and a price book, until the block ends."""
    chosen = ports.choose({"kafka": 0, "controller": 0, "valkey": 0}, {})
    specs = [
        servers.kafka(folder / "kafka", chosen["kafka"], chosen["controller"]),
        servers.valkey(folder / "valkey", chosen["valkey"]),
    ]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    children = [Child(spec, folder / "logs", lambda: None) for spec in specs]
    for child in children:
        child.start()
    try:
        if not all(await asyncio.gather(*[child.wait_ready(60) for child in children])):
            raise RuntimeError("Kafka or Valkey did not start")
        rig = Rig(
            KafkaSettings(bootstrap=f"127.0.0.1:{chosen['kafka']}", partitions=partitions),
            RedisSettings(url=f"redis://127.0.0.1:{chosen['valkey']}/0"),
            folder,
            {child.spec.name: child.info.pid for child in children},
        )
        await topics.create_fences(await topics.create(rig.kafka), rig.kafka, rig.redis)
        redis = redis_client.connect(rig.redis)
        book = price_book()
        await redis.set(keys.price_book(book.version), msgspec.json.encode(book))
        await redis.aclose()
        yield rig
    finally:
        await asyncio.gather(*[child.stop() for child in children])


@contextlib.contextmanager
def process(argv: list[str], env: Mapping[str, str], log: Path):  # type: ignore[no-untyped-def]
    """Run a process until the block ends."""
    with log.open("ab") as output:
        running = subprocess.Popen([sys.executable, *argv], env=dict(env), stdout=output, stderr=output)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


async def applied(rig: Rig) -> int:
    """Return how many records the metering worker has applied, by its fences."""
    redis = redis_client.connect(rig.redis)
    try:
        names = [keys.fence(p, t.name) for t in METERED for p in range(rig.kafka.partitions)]
        return sum(int(value or 0) for value in await redis.mget(names))
    finally:
        await redis.aclose()


async def at_rest(rig: Rig) -> int:
    """Return how many records are applied, once it is no more a second later."""
    last = -1
    while (now := await applied(rig)) != last:
        last = now
        await asyncio.sleep(1.0)
    return last


async def time_until_applied(
    rig: Rig, target: int, *pids: int, timeout_s: float = 300
) -> tuple[float, float]:
    """Return wall and processor seconds that workers needed from the first applied record to the target."""
    began = cpu = 0.0
    first = start = await applied(rig)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        done = await applied(rig)
        if done > start and not began:
            began, first, cpu = time.perf_counter(), done, cpu_of(pids)
        if done >= target:
            share = (target - start) / max(1, target - first)
            return (time.perf_counter() - began) * share, (cpu_of(pids) - cpu) * share
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{await applied(rig) - start} of {target - start} records after {timeout_s:.0f} s")
