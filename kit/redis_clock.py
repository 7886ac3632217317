"""The time that all who share a Redis go by: what is due there is due for all of them at once.

A lease is written by one machine and looked at by another. By their own clocks, one that is a quarter of a
minute behind would have all its runs taken for abandoned.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit.clock import Clock

_EVERY_S = 1.0


async def opened(redis: Redis, clock: Clock) -> RedisClock:
    """Return Redis' time, having tried to look once; `follow` it from now on."""
    made = RedisClock(redis, clock)
    with contextlib.suppress(RedisError):
        await made.look()
    return made


class RedisClock:
    """Redis' time, looked at now and then, and counted on in between by a clock that nobody sets.

    Until Redis was reached once it is this machine's.
    """

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._began_ms: int | None = None

    def __call__(self) -> int:
        if self._began_ms is None:
            return self._clock()
        return self._began_ms + round(time.monotonic() * 1000)

    async def look(self) -> None:
        """See what time it is. Raises `RedisError`."""
        before = time.monotonic()
        told: Any = await self._redis.time()
        # Of a cluster: any of its nodes.
        seconds, micros = next(iter(told.values())) if isinstance(told, dict) else told
        middle = (before + time.monotonic()) / 2
        self._began_ms = seconds * 1000 + micros // 1000 - round(middle * 1000)

    async def follow(self) -> None:
        """Look, and wait, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            with contextlib.suppress(RedisError):
                await self.look()
