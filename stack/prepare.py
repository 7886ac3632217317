"""`python -m stack.prepare`: create the topics, then their fences. Doing it again changes nothing.

A crash between the two leaves topics without fences, which another start does not create: the metering worker
then stops and says which fence is missing, rather than guess.
"""

from __future__ import annotations

import asyncio

from kit import logs
from kit.settings import KafkaSettings, RedisSettings, StackSettings, load
from stack import topics


async def prepare(kafka: KafkaSettings, redis: RedisSettings) -> list[str]:
    """Create what is missing and return the new topics' names. Raises `StackError` for other partitions."""
    created = await topics.create(kafka)
    await topics.create_fences(created, kafka, redis)
    return created


if __name__ == "__main__":
    logs.configure("prepare", load(StackSettings).log_level)
    asyncio.run(prepare(load(KafkaSettings), load(RedisSettings)))
