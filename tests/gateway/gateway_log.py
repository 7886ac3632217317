"""What the gateway and the runner left on Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from waiting import PATIENCE_S

from schemas import topics
from schemas.events import RunEvent, TokenEvent, ToolCallEvent, encode

PARTITIONS = 8
METERED_RUN_TOPICS = (topics.RUNS, topics.TOKENS, topics.TOOL_CALLS)


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Return the condition's first true value."""
    deadline = time.monotonic() + timeout_s
    while not (value := await condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.02)
    return value


@dataclass
class Metered:
    """What Kafka has of one run, in the order it was read."""

    runs: list[RunEvent] = field(default_factory=list)
    tokens: list[TokenEvent] = field(default_factory=list)
    tools: list[ToolCallEvent] = field(default_factory=list)

    @property
    def closing(self) -> RunEvent:
        """The one closing event; a repeated one is identical."""
        closings = {encode(event): event for event in self.runs if event.status != "started"}
        assert len(closings) == 1, self.runs
        return next(iter(closings.values()))

    @property
    def everything(self) -> list[RunEvent | TokenEvent | ToolCallEvent]:
        return [*self.runs, *self.tokens, *self.tools]

    def last_words(self) -> dict[str, TokenEvent]:
        """The word that counts of each model call."""
        last: dict[str, TokenEvent] = {}
        for event in sorted(self.tokens, key=lambda e: (e.final, e.seq)):
            last[event.call_id] = event
        return last

    @property
    def closed(self) -> bool:
        return any(event.status != "started" for event in self.runs)


class EventLog:
    """Reads the topics of runs; every record must be exactly what its contract says."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=20)
        self._partitions = [
            TopicPartition(topic.name, number) for topic in METERED_RUN_TOPICS for number in range(PARTITIONS)
        ]
        self._runs: dict[str, Metered] = defaultdict(Metered)
        self.orgs: set[str] = set()

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_end(*self._partitions)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Read everything that is on Kafka now."""
        ends = await self._consumer.end_offsets(self._partitions)
        while True:
            behind = [at for at in self._partitions if await self._consumer.position(at) < ends[at]]
            if not behind:
                return
            for records in (await self._consumer.getmany(timeout_ms=50)).values():
                for record in records:
                    self._take(record.topic, record.key, record.value)

    def _take(self, topic: str, key: bytes | None, value: bytes) -> None:
        if key is None or key.decode() not in self.orgs:
            return
        event = msgspec.json.decode(value, type=topics.BY_NAME[topic].event)
        assert encode(event) == value
        assert isinstance(event, RunEvent | TokenEvent | ToolCallEvent)
        assert event.org_id == key.decode()
        run = self._runs[event.run_id]
        {topics.RUNS.name: run.runs, topics.TOKENS.name: run.tokens, topics.TOOL_CALLS.name: run.tools}[
            topic
        ].append(event)  # type: ignore[arg-type]

    async def of(self, run_id: str) -> Metered:
        """Return a run whose client was answered: all of it is on Kafka."""
        await self.catch_up()
        return self._runs[run_id]

    async def when(
        self, run_id: str, condition: Callable[[Metered], Any], what: str, timeout_s: float = PATIENCE_S
    ) -> Metered:
        async def holds() -> bool:
            return bool(condition(await self.of(run_id)))

        await until(holds, what, timeout_s)
        return self._runs[run_id]

    async def runs_of(self, instance_id: str) -> dict[str, Metered]:
        await self.catch_up()
        return {
            run_id: run
            for run_id, run in self._runs.items()
            if any(event.instance_id == instance_id for event in run.everything)
        }
