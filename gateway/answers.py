"""What a run answered, kept for `GET /v1/runs/{id}` and for repeated requests."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.clock import Clock
from kit.redis_client import get_bytes
from schemas import keys
from schemas.directory import RunLease
from schemas.events import RunEvent, RunStatus
from schemas.runner import Citation

#: Answers of a few seconds' runs; each is as long as its run's output.
_MOST_WAITING = 1_000


class Usage(Struct, frozen=True, kw_only=True):
    """What a run used. `credits` is a decimal string; `duration_ms` counts from admission."""

    tokens_in: int
    tokens_out: int
    tool_calls: int
    duration_ms: int
    credits: str


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run did not complete."""

    code: str
    detail: str


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finished run, as the client sees it. `finish_reason`: whether the answer ran into its limit."""

    run_id: str
    status: RunStatus
    model: str
    output: str
    usage: Usage
    error: Failure | None = None
    finish_reason: Literal["stop", "length"] = "stop"
    #: The passages of the instance's knowledge that the answer rests on.
    citations: tuple[Citation, ...] = ()
    metadata: dict[str, str] = {}


class KeptAnswer(Struct, frozen=True, kw_only=True):
    """An answer with its closing event, so that whoever repeats the answer can also repeat the event."""

    answer: Answer
    closing: RunEvent
    visitor: str = ""


class AnswerStore:
    """Answers in Redis, for a day by default. What Redis could not take waits here until it can."""

    def __init__(self, redis: Redis, ttl_s: int, clock: Clock) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._clock = clock
        self._waiting: dict[str, tuple[int, KeptAnswer]] = {}

    @property
    def waiting(self) -> bool:
        """Whether some answer is not in Redis yet."""
        return bool(self._waiting)

    async def keep(self, partition: int, kept: KeptAnswer) -> None:
        """Store an answer; while Redis is away, here. The oldest of too many are let go."""
        try:
            await self._store(partition, kept)
        except RedisError:
            self._waiting[kept.answer.run_id] = (partition, kept)
            if len(self._waiting) > _MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]

    async def keep_waiting(self) -> None:
        """Store what waits: until then, a repeated request would find neither answer nor owner, and run
        again. Raises `RedisError`."""
        for run_id, (partition, kept) in list(self._waiting.items()):
            await self._store(partition, kept)
            self._waiting.pop(run_id, None)

    async def _store(self, partition: int, kept: KeptAnswer) -> None:
        key = keys.answer(partition, kept.answer.run_id)
        await self._redis.set(key, msgspec.json.encode(kept), ex=self._ttl_s)

    async def find(self, partition: int, run_id: str) -> KeptAnswer | None:
        """Return the answer of that run, whosever it is, if it finished. Raises `RedisError`."""
        blob = await get_bytes(self._redis, keys.answer(partition, run_id))
        return None if blob is None else msgspec.json.decode(blob, type=KeptAnswer)

    async def is_owned(self, partition: int, run_id: str) -> bool:
        """Return whether a living gateway works on that run. Raises `RedisError`."""
        due = await self._redis.zscore(keys.leases(partition), run_id)
        return due is not None and due > self._clock()

    async def lease(self, partition: int, run_id: str) -> RunLease | None:
        """Return whose run that is, while it runs. Raises `RedisError`."""
        blob = await get_bytes(self._redis, keys.lease(partition, run_id))
        return None if blob is None else msgspec.json.decode(blob, type=RunLease)
