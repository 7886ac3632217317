from __future__ import annotations

import re

import msgspec
import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.partitioning import partition_of
from schemas.topics import DAY_MS, Topic

every_topic = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)


def test_every_topic_has_a_name_and_an_event_of_its_own() -> None:
    assert len({topic.name for topic in topics.ALL}) == len(topics.ALL)
    assert len({topic.event for topic in topics.ALL}) == len(topics.ALL)
    assert list(topics.BY_NAME.values()) == list(topics.ALL)
    assert all(topics.BY_NAME[topic.name] is topic for topic in topics.ALL)


def test_the_shorter_lists_are_what_the_consumers_say() -> None:
    assert [topic for topic in topics.ALL if "metering" in topic.consumers] == list(topics.METERED)
    assert [topic for topic in topics.ALL if "warehouse" in topic.consumers] == list(topics.STORED)


@every_topic
def test_a_topic_is_well_formed(topic: Topic) -> None:
    assert re.fullmatch(r"(usage|credits|billing|ingestion|conversations|control)\.[a-z_]+", topic.name)
    assert topic.producers
    assert topic.consumers
    assert topic.event.__doc__
    # What is about a wallet stands on its organisation's partition.
    whole_tenants = (topics.RECONCILE_REQUESTS, topics.RECONCILIATIONS)
    if topic is not topics.CONTROL_RECORDS:  # each by the key that Redis has it under
        assert topic.key == ("tenant_id" if topic in whole_tenants else "org_id")


@every_topic
def test_an_event_carries_its_version_and_its_key(topic: Topic) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(topic.event)}

    assert fields["v"].default == 1
    if topic is not topics.DEAD_LETTERS:  # it carries the key of the record it holds
        assert fields[topic.key].required


@every_topic
def test_the_broker_stamps_and_keeps_every_record(topic: Topic) -> None:
    config = topic.config()

    assert config["message.timestamp.type"] == "LogAppendTime"
    if topic.compacted:
        assert config["cleanup.policy"] == "compact"
        assert "retention.ms" not in config
    else:
        assert config["cleanup.policy"] == "delete"
        assert int(config["retention.ms"]) >= 7 * DAY_MS
    assert all(isinstance(value, str) for value in config.values())


def test_a_dead_letter_holds_the_largest_record_of_any_topic() -> None:
    held = {*topics.METERED, *topics.STORED} - {topics.DEAD_LETTERS}
    largest = max(topic.max_message_bytes for topic in held)

    assert topics.DEAD_LETTERS.max_message_bytes >= largest * 4 / 3 + 4_096


@given(st.text(min_size=1, max_size=128), st.integers(1, 512))
def test_a_partition_is_the_one_kafkas_own_partitioner_picks(org_id: str, partitions: int) -> None:
    everywhere = list(range(partitions))

    assert partition_of(org_id, partitions) == DefaultPartitioner()(org_id.encode(), everywhere, everywhere)


def test_ten_thousand_organisations_agree_with_kafka_and_fill_every_partition() -> None:
    everywhere = list(range(8))
    kafka = DefaultPartitioner()
    found = {f"org_{n:05d}": partition_of(f"org_{n:05d}", 8) for n in range(10_000)}

    assert all(partition == kafka(org.encode(), everywhere, everywhere) for org, partition in found.items())
    sizes = [list(found.values()).count(partition) for partition in everywhere]
    assert min(sizes) > 1_000


@pytest.mark.parametrize(
    ("org_id", "murmur2"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_a_partition_is_the_one_the_java_client_picks(org_id: str, murmur2: int) -> None:
    # Values of Kafka's own UtilsTest. Redis keys carry the number: another result would lose every wallet.
    assert partition_of(org_id, 4096) == (murmur2 & 0x7FFFFFFF) % 4096
