"""What the batch transport relies on in Faust and aiokafka: a new version that changes it fails here."""

from __future__ import annotations

import inspect

import aiokafka
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver

from streams.batches import PartitionBatch
from streams.transport import BatchConsumer, BatchConsumerThread, BatchTransport, _NothingRead


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
