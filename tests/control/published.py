"""What stands on Kafka for one organisation."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit.settings import KafkaSettings
from schemas import topics
from schemas.events import GrantEvent
from schemas.partitioning import partition_of
from schemas.topics import Topic


async def published(
    kafka: KafkaSettings, org_id: str, topic: Topic = topics.GRANTS, event: type = GrantEvent
) -> list:
    """Return the org's events in the order they stand on the topic, each time they stand there."""
    place = TopicPartition(topic.name, partition_of(org_id, kafka.partitions))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(place, timeout_ms=200)).values():
                found += [record.value for record in records if record.key == org_id.encode()]
        return [msgspec.json.decode(value, type=event) for value in found]
    finally:
        await consumer.stop()


def firsts(events: list) -> list[str]:
    """Return the commands in the order their consumers first meet them."""
    return list(dict.fromkeys(event.command_id or event.grant_id for event in events))
