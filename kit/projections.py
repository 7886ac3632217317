"""Reads the control plane's projections, and knows what was never written from what is not there again yet.

A Redis that was given all of them since it started is marked. Without the mark, what is missing may only be
lost: after a loss, whoever reads projections is there before the control plane has written them.
"""

from __future__ import annotations

from redis.asyncio import Redis

from kit import redis_client
from schemas import keys


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
