"""Three Kafka brokers on one machine, with the settings that production has for them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from kit.settings import KafkaSettings
from schemas.topics import METERED, STORED
from stack import ports, servers
from stack.process import Child

_PROFILE = Path(__file__).resolve().parents[1] / "docker" / "profiles" / "kafka-3.env"
_READY_S = 120.0
_TOPICS = sorted({topic.name for topic in (*METERED, *STORED)})


def profile() -> dict[str, str]:
    """Return what the production profile says."""
    lines = [line for line in _PROFILE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Brokers:
    """A cluster. Who kills a broker starts it again; nobody else does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = int(profile()["RUNMETER_KAFKA_REPLICATION"])
        names = [f"{kind}{n}" for n in range(self.count) for kind in ("broker", "controller")]
        chosen = ports.choose(dict.fromkeys(names, 0), {})
        self._ports = [(chosen[f"broker{n}"], chosen[f"controller{n}"]) for n in range(self.count)]
        self._children: list[Child] = []

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    def environment(self) -> dict[str, str]:
        """Return the profile, with these brokers' addresses."""
        return {**profile(), "RUNMETER_KAFKA_BOOTSTRAP": self.bootstrap}

    def settings(self) -> KafkaSettings:
        """Return the same as settings."""
        return KafkaSettings(bootstrap=self.bootstrap, replication=self.count)

    async def start(self) -> None:
        """Format and start all of them. Raises `AssertionError` when one does not answer."""
        specs = await asyncio.to_thread(servers.kafka_nodes, self._folder / "kafka", self._ports)
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        self._children = [Child(spec, logs, lambda: None) for spec in specs]
        for child in self._children:
            child.start()
        await asyncio.gather(*[self._answers(child) for child in self._children])

    async def _answers(self, child: Child) -> None:
        if not await child.wait_ready(_READY_S):
            raise AssertionError(f"{child.spec.name} did not start:\n{child.last_lines(20)}")

    async def kill(self, broker: int) -> None:
        """kill -9 of one, by its id, which counts from 1."""
        child = self._children[broker - 1]
        os.kill(child.info.pid, signal.SIGKILL)
        # Nothing was awaited in between: it has not been started again.
        await child.stop()

    async def restart(self, broker: int) -> None:
        """Start a killed one again, on the files it left."""
        old = self._children[broker - 1]
        child = Child(old.spec, self._folder / "logs", lambda: None)
        self._children[broker - 1] = child
        child.start()
        await self._answers(child)

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*[child.stop() for child in self._children])

    async def leads(self, partitions: Collection[int]) -> Counter[int]:
        """Return how many of these partitions, over all topics, each broker leads."""
        found: Counter[int] = Counter()
        for topic in await self._described():
            found.update(p["leader"] for p in topic["partitions"] if p["partition"] in partitions)
        return found

    async def in_sync(self) -> int:
        """Return how many replicas are in sync where there are fewest."""
        return min(len(p["isr"]) for topic in await self._described() for p in topic["partitions"])

    async def _described(self) -> list[dict[str, list[dict[str, int]]]]:  # type: ignore[type-arg]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            return list(await admin.describe_topics(_TOPICS))
        finally:
            await admin.close()
