"""Stops a worker that owns partitions with records to apply and applies none.

Consumers have been seen to stop silently after a broker's outage. The watchdog asks Kafka for the ends of
the logs through a client of its own, so that it does not believe the consumer it watches; a thread watches
the watchdog, so that a blocked event loop is noticed too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from kit import kafka_access
from kit.metrics import gauge, registry
from kit.settings import KafkaSettings, WorkerSettings
from kit.tasks import ended
from schemas.topics import Topic
from streams.lanes import EXIT_UNSAFE

log = logging.getLogger(__name__)


class Watched(Protocol):
    """What the watchdog asks of a role."""

    name: str
    topics: tuple[Topic, ...]

    def fences(self) -> Mapping[int, Mapping[str, int]]:
        """Return how far each owned partition's topics are applied."""

    def waits_for(self) -> str:
        """Return the store that is away and keeps the worker from going on; `""` when nothing does."""

    def steps(self) -> int:
        """Return a number that grows with what is done between two moves of a fence."""


_EVERY_S = 1.0


class Watchdog:
    """One per worker process."""

    def __init__(
        self,
        role: Watched,
        kafka: KafkaSettings,
        worker: WorkerSettings,
    ) -> None:
        self._role = role
        self._lag_gauge, self._stalled = gauge(registry.LAG), gauge(registry.STALLED_SECONDS)
        self._kafka = kafka
        self._stall_s = worker.stall_timeout_ms / 1000
        self._task: asyncio.Task[None] | None = None
        self._beat = time.monotonic()
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}
        self._lag: int | None = None
        self._told: set[tuple[str, int]] = set()
        self._steps = 0

    async def start(self) -> None:
        """Watch in the background until `stop`."""
        self._task = asyncio.create_task(self._watch())
        threading.Thread(target=self._watch_loop, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            await ended(self._task)
            self._task = None

    async def readiness(self) -> dict[str, str]:
        """Return what keeps the worker from being ready: no partitions yet, or no look at the logs yet."""
        if store := self._role.waits_for():
            return {store: "away; waiting for it"}
        if not self._role.fences():
            return {"partitions": "none assigned yet"}
        return {} if self._lag is not None else {"lag": "not known yet"}

    async def _watch(self) -> None:
        while True:
            self._beat = time.monotonic()
            try:
                await self._look()
            except (KafkaError, TimeoutError, OSError) as error:
                # Kafka away is no stall: nothing can be applied, and nothing is lost by waiting.
                self._moved.clear()
                log.info("the logs' ends are not known", extra={"error": repr(error)})
            await asyncio.sleep(_EVERY_S)

    async def _look(self) -> None:
        consumer = AIOKafkaConsumer(**kafka_access.options(self._kafka), group_id=None)
        await consumer.start()
        try:
            while True:
                self._judge(await self._ends(consumer))
                self._beat = time.monotonic()
                await asyncio.sleep(_EVERY_S)
        finally:
            await consumer.stop()

    async def _ends(self, consumer: AIOKafkaConsumer) -> Mapping[tuple[str, int], int]:
        wanted = [
            TopicPartition(topic.name, partition)
            for partition in self._role.fences()
            for topic in self._role.topics
        ]
        if not wanted:
            return {}
        async with asyncio.timeout(self._stall_s / 3):
            ends = await consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): end for tp, end in ends.items()}

    def _judge(self, ends: Mapping[tuple[str, int], int]) -> None:
        now, lag, longest = time.monotonic(), 0, 0.0
        if self._role.waits_for():
            # The store is away, not the worker: another process would only wait in its place.
            self._moved.clear()
        if (steps := self._role.steps()) != self._steps:
            # What a fence waits for may take longer than it may stand still.
            self._steps = steps
            self._moved.clear()
        for partition, fences in self._role.fences().items():
            for topic, fence in fences.items():
                behind = max(0, ends.get((topic, partition), 0) - fence)
                self._lag_gauge.labels(self._role.name, topic, partition).set(behind)
                lag += behind
                at, since = self._moved.get((topic, partition), (-1, now))
                if fence != at or not behind:
                    self._moved[topic, partition] = (fence, now)
                    since = now
                longest = max(longest, now - since)
                if now - since > self._stall_s:
                    log.critical(
                        "assigned, lagging and not advancing; the worker stops",
                        extra={"topic": topic, "partition": partition, "fence": fence, "behind": behind},
                    )
                    os._exit(EXIT_UNSAFE)
        self._lag = lag
        self._forget_all_but({(t, p) for p, fences in self._role.fences().items() for t in fences})
        self._stalled.labels(self._role.name).set(longest)

    def _forget_all_but(self, owned: set[tuple[str, int]]) -> None:
        """Whoever has the others now tells their lag: told twice, the sum of all would be wrong."""
        for topic, partition in self._told - owned:
            self._lag_gauge.remove(self._role.name, topic, str(partition))
            self._moved.pop((topic, partition), None)
        self._told = owned

    def _watch_loop(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            if self._task is None:
                return
            if time.monotonic() - self._beat > self._stall_s:
                log.critical("the event loop has not run for %.0f s; the worker stops", self._stall_s)
                os._exit(EXIT_UNSAFE)
