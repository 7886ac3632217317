"""Redis' time beside a machine whose clock is wrong: real Valkey."""

from __future__ import annotations

from containers import redis_at
from redis.asyncio import Redis

from kit import redis_client, redis_clock
from kit.clock import now_ms
from kit.settings import RedisSettings

_HOUR_MS = 3_600_000


async def test_a_machine_that_is_an_hour_behind_goes_by_redis(redis_url: str) -> None:
    redis = redis_client.connect(redis_at(redis_url))

    shared = await redis_clock.opened(redis, lambda: now_ms() - _HOUR_MS)

    before = await _told(redis)
    assert before - 1_000 <= shared() <= await _told(redis) + 1_000
    await redis.aclose()


async def test_until_redis_is_reached_the_machine_is_asked() -> None:
    redis = redis_client.connect(RedisSettings(url="redis://127.0.0.1:1"))

    shared = await redis_clock.opened(redis, lambda: 4_711)

    assert shared() == 4_711
    await redis.aclose()


async def _told(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
