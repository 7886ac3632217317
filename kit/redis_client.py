"""The one way to a Redis (Valkey) client."""

from __future__ import annotations

import contextlib
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from kit.settings import RedisSettings


def connect(settings: RedisSettings) -> Redis:
    """Return a pooled client that answers bytes. It connects on first use.

    It never retries by itself: a script whose reply was lost may have run, and only its caller knows whether
    running it again is safe.
    """
    timeout_s = settings.timeout_ms / 1000
    if settings.cluster:
        # The same commands, each sent to the node that has the key's slot.
        return cast(
            Redis,
            RedisCluster.from_url(
                settings.url,
                max_connections=settings.max_connections,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # By default it would send a command again up to ten times.
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            ),
        )
    pool = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=settings.max_connections,
        # How long a caller waits for a free connection.
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=0,
        # With them on, the pool hands out connections whose server has gone: one failed request for each.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    return Redis.from_pool(pool)


async def opened(settings: RedisSettings) -> Redis:
    """Return `connect(settings)`, having tried to reach Redis once. That it is away now is not an error.

    A cluster's client learns the nodes with its first command; several first commands at once would trip over
    each other.
    """
    redis = connect(settings)
    with contextlib.suppress(RedisError, OSError):
        await redis.ping()
    return redis


async def identity(redis: Redis) -> str:
    """Return what is new after a restart or a failover; of a cluster, the nodes' together."""
    return _run_id(await redis.info("server"))


def up_s(info: object) -> int:
    """Return how many seconds Redis has been up, by its `INFO server`; of a cluster, its youngest node."""
    if not isinstance(info, dict):
        return 0
    if "uptime_in_seconds" in info:
        return int(info["uptime_in_seconds"])
    return min(map(up_s, info.values()), default=0)


def _run_id(info: object) -> str:
    if not isinstance(info, dict):
        return ""
    if "run_id" in info:
        return str(info["run_id"])
    return "".join(sorted(_run_id(node) for node in info.values()))


async def get_bytes(redis: Redis, key: str) -> bytes | None:
    """Return a string key's bytes, or `None`."""
    value = await redis.get(key)
    return value.encode() if isinstance(value, str) else value
