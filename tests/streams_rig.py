"""Workers as real processes, on servers of their own: a test may kill, starve and rewind them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from containers import redis_at
from msgspec import Struct
from redis.asyncio import Redis
from waiting import PATIENCE_S

from kit import projections, redis_client
from kit.settings import KafkaSettings, RedisSettings
from metering.prices import PriceBook, Rates
from schemas import keys, topics
from schemas.events import RunEvent, TokenEvent, ToolCallEvent, encode
from schemas.partitioning import partition_of
from schemas.topics import METERED, Topic
from stack import ports, servers
from stack import topics as stack_topics
from stack.process import Child

RATES = Rates(
    input=1_000_000, cache_read=500_000, cache_write=1_250_000, output=4_000_000, reasoning=4_000_000
)
BOOK = PriceBook(version="book-1", models={"m": RATES}, default=RATES, per_tool_call=7)
#: What one run of `run_events` costs: 100 tokens in at 1, 30 out at 4 micro-credits, one tool call at 7.
RUN_COSTS = 100 + 30 * 4 + 7


@dataclass
class Rig:
    """Kafka and Valkey, and the workers a test started."""

    folder: Path
    kafka: KafkaSettings
    redis_settings: RedisSettings
    redis: Redis
    producer: AIOKafkaProducer
    valkey: Child
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, module: str, instance: str = "0", **env: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        settings = {
            "RUNMETER_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "RUNMETER_REDIS_URL": self.redis_settings.url,
            "RUNMETER_DATA_DIR": str(self.folder),
            "RUNMETER_WORKER_INSTANCE": instance,
            **env,
        }
        with (self.folder / f"{module}-{instance}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module], env={**os.environ, **settings}, stdout=log, stderr=log
            )
        self.workers.append(process)
        return process

    def log(self, module: str, instance: str = "0") -> str:
        """Return what a worker logged."""
        return (self.folder / f"{module}-{instance}.log").read_text(errors="replace")

    async def send(self, topic: Topic, events: Iterable[Struct]) -> None:
        """Publish events to their partitions and wait for Kafka."""
        sent = []
        for event in events:
            org = event.org_id  # type: ignore[attr-defined]
            partition = partition_of(org, self.kafka.partitions)
            sent.append(
                await self.producer.send(topic.name, encode(event), key=org.encode(), partition=partition)
            )
        await asyncio.gather(*sent)

    async def send_runs(self, prefix: str, count: int, orgs: int = 8) -> None:
        """Publish all events of `count` runs."""
        for topic, events in run_events(prefix, count, orgs).items():
            await self.send(topics.BY_NAME[topic], events)

    async def charged(self, orgs: int = 8) -> int:
        """Return what all wallets were charged, in micro-credits."""
        total = 0
        for number in range(orgs):
            org = f"org-{number}"
            key = keys.wallet(partition_of(org, self.kafka.partitions), org)
            total += int(await self.redis.hget(key, "charged") or 0)
        return total

    async def counted(self, name: str = "runs", orgs: int = 8) -> int:
        """Return one counter, added up over the instances."""
        total = 0
        for number in range(orgs):
            partition = partition_of(f"org-{number}", self.kafka.partitions)
            key = keys.counter(partition, f"inst-{number}")
            total += int(await self.redis.hget(key, name) or 0)
        return total

    async def mark_projected(self) -> None:
        """Say, as the control plane does after each start of Redis, that all price books are there."""
        await projections.mark_whole(self.redis, await redis_client.identity(self.redis))

    async def fences(self) -> int:
        """Return how many records were applied, by the fences."""
        names = [keys.fence(p, t.name) for t in METERED for p in range(self.kafka.partitions)]
        return sum(int(value or 0) for value in await self.redis.mget(names))


def run_events(prefix: str, count: int, orgs: int = 8) -> dict[str, list[Struct]]:
    """Return the events of `count` runs by topic: five of each run."""
    now = time.time_ns() // 1_000_000
    made: dict[str, list[Struct]] = {topics.RUNS.name: [], topics.TOKENS.name: [], topics.TOOL_CALLS.name: []}
    for number in range(count):
        whose: dict[str, Any] = {
            "tenant_id": "t",
            "org_id": f"org-{number % orgs}",
            "instance_id": f"inst-{number % orgs}",
            "run_id": f"{prefix}-{number}",
            "channel": "api",
            "price_version": BOOK.version,
            "started_at_ms": now,
            "occurred_at_ms": now,
        }
        call = f"{prefix}-{number}-1"
        tokens = {"call_id": call, "model": "m", "input_uncached": 100}
        made[topics.RUNS.name] += [
            RunEvent(**whose, status="started", model="m"),
            RunEvent(**whose, status="completed", model="m", tokens_in=100, tokens_out=30, tool_calls=1),
        ]
        made[topics.TOKENS.name] += [
            TokenEvent(**whose, **tokens, seq=1, output=50, source="estimate"),
            TokenEvent(**whose, **tokens, seq=2, output=30, final=True),
        ]
        made[topics.TOOL_CALLS.name].append(
            ToolCallEvent(**whose, tool_call_id=f"{call}-t", tool="calculator", duration_ms=1)
        )
    return made


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """Run Kafka and Valkey with topics, fences and a price book."""
    chosen = ports.choose({"kafka": 0, "controller": 0, "valkey": 0}, {})
    logs = folder / "logs"
    logs.mkdir()
    broker = Child(servers.kafka(folder / "kafka", chosen["kafka"], chosen["controller"]), logs, lambda: None)
    valkey = Child(servers.valkey(folder / "valkey", chosen["valkey"]), logs, lambda: None)
    for child in (broker, valkey):
        child.start()
    assert all(await asyncio.gather(broker.wait_ready(PATIENCE_S), valkey.wait_ready(PATIENCE_S)))
    kafka = KafkaSettings(bootstrap=f"127.0.0.1:{chosen['kafka']}")
    redis_settings = redis_at(f"redis://127.0.0.1:{chosen['valkey']}/0")
    await stack_topics.create_fences(await stack_topics.create(kafka), kafka, redis_settings)
    redis = redis_client.connect(redis_settings)
    await redis.set(keys.price_book(BOOK.version), msgspec.json.encode(BOOK))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=5)
    await producer.start()
    rig = Rig(folder, kafka, redis_settings, redis, producer, valkey)
    await rig.mark_projected()
    try:
        yield rig
    finally:
        for process in rig.workers:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        await producer.stop()
        await redis.aclose()
        await asyncio.gather(broker.stop(), valkey.stop())
