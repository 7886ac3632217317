"""Gives a stack's Redis what the control plane last published."""

from __future__ import annotations

from kit import redis_client
from kit.settings import KafkaSettings, RedisSettings
from streams import records


async def restore(kafka: KafkaSettings, settings: RedisSettings) -> int:
    """As `streams.records.restore`, with a client of its own."""
    redis = redis_client.connect(settings)
    try:
        return await records.restore(kafka, redis)
    finally:
        await redis.aclose()
