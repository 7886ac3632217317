"""Topics on a real broker; the `kafka` fixture created them once."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from containers import redis_at

from kit.settings import KafkaSettings
from schemas import keys
from schemas import topics as registry
from stack import topics
from stack.errors import StackError


async def test_every_topic_is_there_with_its_partitions_and_settings(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        names = [topic.name for topic in registry.ALL]
        described = {d["topic"]: len(d["partitions"]) for d in await admin.describe_topics(names)}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers = await admin.describe_configs(asked)
    finally:
        await admin.close()

    assert described == dict.fromkeys(names, KafkaSettings().partitions)
    for response in answers:
        for resource in response.resources:
            live = {entry[0]: entry[1] for entry in resource[4]}
            wanted = registry.BY_NAME[resource[3]].config()
            assert {name: live[name] for name in wanted} == wanted


async def test_creating_them_again_changes_nothing(kafka: str) -> None:
    assert await topics.create(KafkaSettings(bootstrap=kafka)) == []


async def test_another_partition_count_is_refused_with_the_remedy(kafka: str) -> None:
    with pytest.raises(StackError, match="RUNMETER_KAFKA_PARTITIONS=8"):
        await topics.create(KafkaSettings(bootstrap=kafka, partitions=4))


async def test_new_topics_get_fences_at_zero_and_old_fences_stay(redis_url: str) -> None:
    from redis.asyncio import Redis

    settings = redis_at(redis_url)
    redis = Redis.from_url(redis_url)
    kept, new = keys.fence(3, registry.RUNS.name), keys.fence(4, registry.RUNS.name)
    try:
        await redis.set(kept, 41)
        await topics.create_fences([registry.RUNS.name, registry.LEDGER.name], KafkaSettings(), settings)

        assert await redis.get(kept) == b"41"
        assert await redis.get(new) == b"0"
        assert await redis.get(keys.fence(0, registry.LEDGER.name)) is None  # not one that is charged
        assert await redis.get(keys.fence(0, registry.TOKENS.name)) is None  # not one that was there
    finally:
        await redis.delete(*[keys.fence(p, registry.RUNS.name) for p in range(8)])
        await redis.aclose()
