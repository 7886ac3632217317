"""Reads and writes the control plane's projections; tells what never was from what is not there again yet.

A Redis that was given all of them since it started is marked. Without the mark, what is missing may only be
lost: after a loss, whoever reads projections is there before the control plane has written them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from kit import redis_client
from schemas import keys

_SCRIPT = Path(__file__).with_name("project.lua").read_text()
_AT_ONCE = 32


class NotProjectedYet(Exception):
    """A projection is not there, and Redis was not yet given again what it lost: ask again soon."""


async def get(redis: Redis, key: str) -> bytes | None:
    """Return what was projected to a key, `None` if nothing ever was. Raises `NotProjectedYet`."""
    found = await redis_client.get_bytes(redis, key)
    if found is not None:
        return found
    if not await whole(redis):
        raise NotProjectedYet(key)
    # It may have come between the first look and the mark.
    return await redis_client.get_bytes(redis, key)


async def mark_whole(redis: Redis, identity: str) -> None:
    """Say that the Redis that was of this identity before now holds everything."""
    await redis.set(keys.projected(), identity)


async def whole(redis: Redis) -> bool:
    """Return whether what is missing was never projected, rather than lost."""
    marked = await redis_client.get_bytes(redis, keys.projected())
    return marked == (await redis_client.identity(redis)).encode()


@dataclass(frozen=True)
class Write:
    """One projection to be written. `messages`: channel and message, for whoever caches it."""

    key: str
    version: int
    value: bytes
    lifetime_ms: int = 0
    only_if_there: bool = False
    messages: tuple[tuple[str, str], ...] = ()
    #: A set, and what it has to hold.
    member_of: tuple[str, str] | None = None


class Writer:
    """Writes projections to Redis, never an older one over a newer one. Raises `RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)

    async def write(self, writes: Sequence[Write]) -> int:
        """Write them; return how many changed. Those that Redis has newer ones of are left out."""
        changed = 0
        for start in range(0, len(writes), _AT_ONCE):
            changed += sum(await asyncio.gather(*map(self._put, writes[start : start + _AT_ONCE])))
        return changed

    async def close(self) -> None:
        """The client is its owner's."""

    async def _put(self, write: Write) -> int:
        if write.member_of is not None:
            await self._redis.sadd(*write.member_of)
        arguments: list[bytes | str | int] = [
            write.version,
            write.value,
            write.lifetime_ms,
            int(write.only_if_there),
        ]
        for channel, message in write.messages:
            arguments += (channel, message)
        return int(await self._script(keys=[write.key], args=arguments))
