"""What the batch transport relies on in Faust and aiokafka: a new version that changes it fails here."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import aiokafka
import pytest
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from waiting import eventually

from kit.clock import new_id
from schemas.topics import RUNS, TOKENS, TOOL_CALLS, Topic
from streams.batches import PartitionBatch
from streams.transport import BatchConsumer, BatchConsumerThread, BatchTransport, _NothingRead
from streams.worker import member_id


def test_the_extension_points_are_still_there() -> None:
    for owner, names in {
        driver.Consumer: ("_new_consumer_thread", "_to_message", "seek_to_committed"),
        driver.AIOKafkaConsumerThread: ("_create_worker_consumer", "_fetch_records", "_seek_wait"),
        driver.Transport: ("Consumer",),
        Consumer: ("_drain_messages", "perform_seek"),
    }.items():
        for name in names:
            assert hasattr(owner, name), f"{owner.__name__}.{name}"


def test_ours_override_theirs() -> None:
    assert BatchConsumer._to_message is not driver.Consumer._to_message
    assert BatchConsumer.seek_to_committed is not driver.Consumer.seek_to_committed
    assert BatchConsumerThread._fetch_records is not driver.AIOKafkaConsumerThread._fetch_records
    assert BatchTransport.Consumer is BatchConsumer


def test_faust_drops_by_read_offset_and_fetches_by_partition() -> None:
    drain = inspect.getsource(Consumer._drain_messages)
    assert "self._read_offset.__getitem__" in drain
    assert "r_offset is None or offset >= r_offset" in drain
    fetch = inspect.getsource(Fetcher.fetched_records)
    assert "drained[tp] = records" in fetch


def test_the_settings_we_change_after_construction_are_read_at_start() -> None:
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._fetch_max_wait_ms" in source
    assert "assignors=self._partition_assignment_strategy" in source


def test_nothing_is_remembered_as_read() -> None:
    memory = _NothingRead()
    memory["tp"] = 7  # type: ignore[index]

    assert memory["tp"] is None  # type: ignore[index]


def test_a_batch_ends_where_its_last_record_does() -> None:
    class Record:
        offset = 41

    batch = PartitionBatch("t", 0, 40, [Record()])  # type: ignore[list-item]

    assert batch.next_offset == 42


@pytest.mark.parametrize("more", [(RUNS, TOKENS, TOOL_CALLS), (RUNS,)])
async def test_a_member_that_reads_other_topics_than_before_is_given_them(
    kafka: str, more: Sequence[Topic]
) -> None:
    """Without a name of its own it would get what it had: Kafka does not look at what it subscribes to."""
    group = new_id("group")

    async def gets(read: Sequence[Topic]) -> None:
        member = aiokafka.AIOKafkaConsumer(
            *[topic.name for topic in read],
            bootstrap_servers=kafka,
            group_id=group,
            group_instance_id=member_id("warehouse", "0", read),
            session_timeout_ms=6_000,
        )
        await member.start()

        async def all_of_them() -> bool:
            return {place.topic for place in member.assignment()} == {topic.name for topic in read}

        await eventually(all_of_them, f"it is given {read}")
        # As a static member does, it says no word when it goes.
        await member.stop()

    await gets((RUNS, TOKENS))
    await gets(more)


def test_a_member_that_reads_the_same_is_the_same() -> None:
    assert member_id("metering", "0", (RUNS, TOKENS)) == member_id("metering", "0", (TOKENS, RUNS))
    assert member_id("metering", "0", (RUNS,)) != member_id("metering", "1", (RUNS,))
