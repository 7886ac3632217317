"""Creates the topics, from the one registry."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from kit import kafka_access, redis_client
from kit.settings import KafkaSettings, RedisSettings
from schemas import keys, topics
from schemas.topics import Topic
from stack.errors import StackError

#: A file in the data folder that tells `up` to create fences at the log's beginning; `up` removes it.
FROM_LOG = "rebuild-from-log"


async def create(kafka: KafkaSettings) -> list[str]:
    """Create what is missing and return its names.

    Raises `StackError` when a topic has another number of partitions, or fewer replicas, than it is to have.
    """
    admin = AIOKafkaAdminClient(**kafka_access.options(kafka))
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        wanted = [
            NewTopic(topic.name, kafka.partitions, kafka.replication, topic_configs=_config(topic, kafka))
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
            _check(described, kafka)
        return [topic.name for topic in wanted]
    finally:
        await admin.close()


def _config(topic: Topic, kafka: KafkaSettings) -> dict[str, str]:
    return {**topic.config(), "min.insync.replicas": str(kafka.in_sync)}


def _check(described: dict[str, Any], kafka: KafkaSettings) -> None:
    name, partitions = described["topic"], described["partitions"]
    if len(partitions) != kafka.partitions:
        raise StackError(
            f"topic {name} has {len(partitions)} partitions, not {kafka.partitions}: the count "
            f"is fixed for good when a topic is created; set RUNMETER_KAFKA_PARTITIONS={len(partitions)}"
        )
    replicas = min(len(partition["replicas"]) for partition in partitions)
    if replicas < kafka.replication:
        raise StackError(
            f"topic {name} has partitions with {replicas} of {kafka.replication} replicas: add some with "
            f"kafka-reassign-partitions.sh, or set RUNMETER_KAFKA_REPLICATION={replicas}"
        )


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


async def has_state(kafka: KafkaSettings, settings: RedisSettings) -> bool:
    """Return whether any metered topic was applied to this Redis, or may be."""
    redis = redis_client.connect(settings)
    try:
        fences = [keys.fence(p, topic.name) for p in range(kafka.partitions) for topic in topics.METERED]
        # One by one: on a cluster the partitions are on different nodes.
        return any([await redis.exists(fence) for fence in fences])
    finally:
        await redis.aclose()


async def fences_from_log(kafka: KafkaSettings, settings: RedisSettings) -> None:
    """Create every fence at 0: the whole log is to be applied. Raises `StackError` if its start is gone."""
    consumer = AIOKafkaConsumer(**kafka_access.options(kafka), group_id=None)
    await consumer.start()
    try:
        tps = [TopicPartition(t.name, p) for t in topics.METERED for p in range(kafka.partitions)]
        first = await consumer.beginning_offsets(tps)
    finally:
        await consumer.stop()
    if gone := [f"{tp.topic}/{tp.partition}" for tp in tps if first[tp]]:
        raise StackError(
            f"the log no longer begins at its beginning ({gone[0]} and {len(gone) - 1} more): what was "
            "deleted cannot be applied again; restore a checkpoint"
        )
    await create_fences([topic.name for topic in topics.METERED], kafka, settings)
