"""What was said before in a conversation: its latest turns, for as long as it goes on, in Redis.

A list, because two runs of one conversation may end at once: each adds its turn, and none is lost. It is not
the transcript, which has its own retention: what is remembered here is the exact text, and is soon forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.settings import RunnerSettings
from schemas import keys
from schemas.conversations import conversation_key
from schemas.runner import ExecuteRequest

log = logging.getLogger(__name__)

#: Of one question or answer; what is longer would not fit into any context with others.
_MAX_CHARS = 32_768
_PATIENCE_S = 1.0


class Turn(Struct, frozen=True):
    """A question and its answer."""

    question: str
    answer: str


_decode = msgspec.json.Decoder(Turn).decode
_encode = msgspec.json.Encoder().encode


def conversation_of(run: ExecuteRequest) -> str:
    """Return the id that the run's conversation is kept by; a run without one is one of its own."""
    if not run.conversation_id:
        return run.run_id
    return conversation_key(run.tenant_id, run.org_id, run.instance_id, run.visitor, run.conversation_id)


class Memory:
    """Earlier turns. While Redis is away a run goes on without them."""

    def __init__(self, redis: Redis, settings: RunnerSettings) -> None:
        self._redis = redis
        self._turns = settings.memory_turns
        self._ttl_s = settings.memory_ttl_s

    async def load(self, run: ExecuteRequest) -> list[Turn]:
        """Return the conversation's latest turns, oldest first."""
        if not self._remembers(run) or any(message.role == "assistant" for message in run.messages):
            return []  # who sends the conversation along remembers it
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await _awaited(self._redis.lrange(_key(run), -self._turns, -1))
            return [_decode(item) for item in found]
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as error:
            log.warning(
                "a conversation is not remembered", extra={"run_id": run.run_id, "error": repr(error)}
            )
            return []

    async def add(self, run: ExecuteRequest, question: str, answer: str) -> None:
        """Remember a turn."""
        if not self._remembers(run) or not question or not answer:
            return
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.rpush(_key(run), _encode(Turn(question[:_MAX_CHARS], answer[:_MAX_CHARS])))
        pipeline.ltrim(_key(run), -self._turns, -1)
        pipeline.expire(_key(run), self._ttl_s)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("a turn is not remembered", extra={"run_id": run.run_id, "error": repr(error)})

    def _remembers(self, run: ExecuteRequest) -> bool:
        return bool(run.conversation_id) and self._turns > 0


def _key(run: ExecuteRequest) -> str:
    return keys.conversation(run.instance_id, conversation_of(run))


async def _awaited(answer: Awaitable[list[Any]] | list[Any]) -> list[bytes]:
    # The client's types leave open whether it waits.
    return await cast("Awaitable[list[bytes]]", answer)
