"""What must not be decided too soon once Redis is back: real Valkey, stopped and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest_asyncio
from gateway_log import until
from waiting import PATIENCE_S

from gateway.answers import Answer, AnswerStore, KeptAnswer, Usage
from kit import redis_client
from kit.clock import now_ms
from kit.publisher import Publisher
from kit.settings import RedisSettings
from kit.tasks import ended
from schemas import keys
from schemas.events import RunEvent
from stack import ports, servers
from stack.process import Child
from streams.relay import metrics
from streams.relay.reaper import Reaper

_PARTITION = 0


class Valkey:
    """A server of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.choose({"valkey": 0}, {})["valkey"]
        self.redis = redis_client.connect(RedisSettings(url=f"redis://127.0.0.1:{self.port}"))
        (folder / "logs").mkdir()
        self._made: Callable[[], Child] = lambda: Child(
            servers.valkey(folder / "data", self.port), folder / "logs", lambda: None
        )
        self._running: Child | None = None

    async def start(self) -> None:
        self._running = self._made()
        self._running.start()
        assert await self._running.wait_ready(PATIENCE_S)

    async def stop(self) -> None:
        if self._running is not None:
            await self._running.stop()
        self._running = None


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    made = Valkey(tmp_path)
    yield made
    await made.stop()
    await made.redis.aclose()


def kept(run_id: str) -> KeptAnswer:
    usage = Usage(tokens_in=1, tokens_out=1, tool_calls=0, duration_ms=1, credits="0")
    answer = Answer(run_id=run_id, status="completed", model="m", output="Hello.", usage=usage)
    closing = RunEvent(
        tenant_id="t",
        org_id="o",
        instance_id="i",
        run_id=run_id,
        channel="api",
        price_version="p",
        started_at_ms=1,
        occurred_at_ms=2,
        status="completed",
        model="m",
    )
    return KeptAnswer(answer=answer, closing=closing)


async def test_an_answer_that_redis_could_not_take_is_there_once_it_is_back(valkey: Valkey) -> None:
    answers = AnswerStore(valkey.redis, 60, now_ms)
    await answers.keep(_PARTITION, kept("r1"))
    assert answers.waiting

    await valkey.start()
    assert await answers.find(_PARTITION, "r1") is None
    await answers.keep_waiting()

    assert not answers.waiting
    assert await answers.find(_PARTITION, "r1") == kept("r1")


async def test_too_many_answers_let_go_of_the_oldest(valkey: Valkey) -> None:
    answers = AnswerStore(valkey.redis, 60, now_ms)
    for number in range(1_001):
        await answers.keep(_PARTITION, kept(f"r{number}"))

    await valkey.start()
    await answers.keep_waiting()

    assert await answers.find(_PARTITION, "r0") is None
    assert await answers.find(_PARTITION, "r1") == kept("r1")


async def test_runs_are_not_taken_for_abandoned_before_their_gateways_could_say_otherwise(
    valkey: Valkey,
) -> None:
    await valkey.start()
    await valkey.redis.zadd(keys.leases(_PARTITION), {"r1": 1})
    metrics.OPEN_RUNS.set(0)
    reaper = Reaper(valkey.redis, cast(Publisher, None), 1, now_ms)
    running: asyncio.Task[Any] = asyncio.create_task(reaper.run())
    try:

        async def looked() -> bool:
            return bool(metrics.OPEN_RUNS._value.get() == 1)

        await until(looked, "the reaper went its round")
        assert await valkey.redis.zscore(keys.leases(_PARTITION), "r1") == 1
    finally:
        await ended(running)
    assert await reaper.reap(_PARTITION) == 1
