"""Redis: that it keeps what it is told, its fences, and how far behind they are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from kit import redis_client
from schemas import keys, topics
from stack.doctor import log
from stack.doctor.findings import Finding, Place, ok, problem, warning

_SKEW_S = 1.0
_MUCH_LAG = 50_000


async def look(place: Place, wall: Callable[[], float] = time.time) -> AsyncIterator[Finding]:
    """Yield what there is to say of Redis. Raises `RedisError` when it cannot be reached."""
    redis = redis_client.connect(place.redis)
    try:
        for finding in [*_keeping(await _info(redis)), await _skew(redis, wall)]:
            yield finding
        for finding in await _fences(place, redis):
            yield finding
    finally:
        await redis.aclose()


async def _info(redis: Redis) -> dict[str, Any]:
    said: Any = await redis.info("all")
    # A cluster answers by node: the first one speaks for those that are set up alike.
    return dict(next(iter(said.values())) if said and isinstance(next(iter(said.values())), dict) else said)


def _keeping(info: dict[str, Any]) -> list[Finding]:
    found = [
        ok(
            "redis",
            f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}",
        )
    ]
    if not int(info.get("aof_enabled", 0)):
        found.append(
            problem(
                "redis persistence", "no append-only file", "set `appendonly yes`, `appendfsync everysec`"
            )
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        found.append(
            problem("redis persistence", "the append-only file cannot be written", "look at its disk")
        )
    else:
        found.append(ok("redis persistence", "append-only file"))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            problem(
                "redis eviction",
                f"maxmemory-policy {policy}",
                "set `maxmemory-policy noeviction`: an evicted fence stops the workers",
            )
        )
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > 0.8 * most:
        found.append(warning("redis memory", f"{used:,} of {most:,} bytes", "raise maxmemory, or add nodes"))
    return found


async def _skew(redis: Redis, wall: Callable[[], float]) -> Finding:
    before = wall()
    seconds, micros = await redis.time()
    apart = seconds + micros / 1_000_000 - (before + wall()) / 2
    if abs(apart) > _SKEW_S:
        return problem(
            "clock", f"{apart:+.1f} s between Redis and this machine", "keep all clocks by NTP; see chrony"
        )
    return ok("clock", "Redis and this machine agree")


async def _fences(place: Place, redis: Redis) -> list[Finding]:
    names = [topic.name for topic in topics.METERED]
    fences, torn = {}, []
    for partition in range(place.kafka.partitions):
        for name in names:
            fences[name, partition] = await redis.get(keys.fence(partition, name))
        if await redis.exists(keys.applying(partition)):
            torn.append(partition)
    found = []
    if torn:
        found.append(
            problem(
                "state", f"partitions {torn} are torn", "restore them: `runmeter down`, `runmeter rebuild`"
            )
        )
    if missing := [f"{name}/{partition}" for (name, partition), fence in fences.items() if fence is None]:
        found.append(
            problem(
                "fences",
                f"{len(missing)} missing, such as {missing[0]}",
                "see docs/operations.md#a-fence-is-missing; where all is new, run `python -m stack.prepare`",
            )
        )
        return found
    found.append(ok("fences", f"{len(fences)}, none missing"))
    return [*found, *await _lag(place, {at: int(fence) for at, fence in fences.items() if fence is not None})]


async def _lag(place: Place, fences: dict[tuple[str, int], int]) -> list[Finding]:
    try:
        first, end = await log.bounds(place, [topic.name for topic in topics.METERED])
    except (KafkaError, OSError):
        return []  # that is said of Kafka itself
    behind, outside = 0, []
    for (name, partition), fence in fences.items():
        tp = TopicPartition(name, partition)
        behind += max(0, end[tp] - fence)
        if not first[tp] <= fence <= end[tp]:
            outside.append(f"{name}/{partition}: {fence} is outside {first[tp]}…{end[tp]}")
    if outside:
        remedy = "see docs/operations.md#the-log-and-a-fence-contradict-each-other"
        return [problem("fences and log", "; ".join(outside[:3]), remedy)]
    if behind > _MUCH_LAG:
        return [warning("lag", f"{behind:,} records are not applied", "start more metering workers")]
    return [ok("lag", f"{behind:,} records are not applied yet")]
