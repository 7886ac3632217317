"""Creates the topics, from the one registry."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from kit import redis_client
from kit.settings import KafkaSettings, RedisSettings
from schemas import keys, topics
from stack.errors import StackError


async def create(kafka: KafkaSettings) -> list[str]:
    """Create what is missing and return its names. Raises `StackError` when a topic has other partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        wanted = [
            NewTopic(topic.name, kafka.partitions, kafka.replication, topic_configs=topic.config())
            for topic in topics.ALL
            if topic.name not in existing
        ]
        if wanted:
            reply = await admin.create_topics(wanted)
            failed = [(name, message) for name, code, message in reply.topic_errors if code not in (0, 36)]
            if failed:
                raise StackError(f"topics could not be created: {failed}")
        known = [topic.name for topic in topics.ALL if topic.name in existing]
        for described in await admin.describe_topics(known) if known else []:
            count = len(described["partitions"])
            if count != kafka.partitions:
                raise StackError(
                    f"topic {described['topic']} has {count} partitions, not {kafka.partitions}: the count "
                    f"is fixed for good when a topic is created; set RUNMETER_KAFKA_PARTITIONS={count}"
                )
        return [topic.name for topic in wanted]
    finally:
        await admin.close()


async def create_fences(created: list[str], kafka: KafkaSettings, settings: RedisSettings) -> None:
    """Create the fences, at 0, of metered topics that were created just now; an existing fence stays."""
    redis = redis_client.connect(settings)
    try:
        for partition in range(kafka.partitions):
            # One by one: on a cluster the partitions are on different nodes.
            for topic in topics.METERED:
                if topic.name in created:
                    await redis.set(keys.fence(partition, topic.name), 0, nx=True)
    finally:
        await redis.aclose()
