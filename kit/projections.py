"""The mark on a Redis that was given all of the control plane's projections since it started.

Without it, what is missing may only not be there again: after a loss, whoever reads projections is there
before the control plane has written them.
"""

from __future__ import annotations

from redis.asyncio import Redis

from kit import redis_client
from schemas import keys


async def mark_whole(redis: Redis, identity: str) -> None:
    """Say that the Redis that was of this identity before now holds everything."""
    await redis.set(keys.projected(), identity)


async def whole(redis: Redis) -> bool:
    """Return whether what is missing was never projected, rather than lost."""
    marked = await redis_client.get_bytes(redis, keys.projected())
    return marked == (await redis_client.identity(redis)).encode()
