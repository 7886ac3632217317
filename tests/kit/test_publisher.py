from __future__ import annotations

import asyncio
import gc
import threading
import uuid
import warnings
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from containers import free_ports
from kafka_gate import KafkaGate
from waiting import PATIENCE_S, until

from kit import spool as spool_module
from kit.publisher import Publisher
from kit.settings import KafkaSettings, SpoolSettings
from kit.spool import SpoolFull
from schemas import topics
from schemas.events import TokenEvent
from schemas.partitioning import partition_of

STARTED = 1_767_225_600_000
PARTITIONS = 8


@pytest.fixture
def org_id() -> str:
    return f"org_{uuid.uuid4().hex}"


@pytest.fixture
async def gate(kafka: str) -> AsyncIterator[KafkaGate]:
    """A closed door in front of Kafka."""
    gate = KafkaGate(kafka, free_ports("gate")["gate"])
    yield gate
    await gate.close()


@asynccontextmanager
async def publisher(address: str, folder: Path, **spool: int) -> AsyncIterator[Publisher]:
    settings = KafkaSettings(bootstrap=address, partitions=PARTITIONS, ack_timeout_ms=1_000)
    started = Publisher(settings, SpoolSettings(**spool), folder)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


def unconnected(address: str, folder: Path, **spool: int) -> Publisher:
    """Return a publisher that was not started, as it is while it has yet to reach Kafka."""
    settings = KafkaSettings(bootstrap=address, partitions=PARTITIONS)
    return Publisher(settings, SpoolSettings(**spool), folder)


def event(org_id: str, number: int) -> TokenEvent:
    return TokenEvent(
        tenant_id="acme",
        org_id=org_id,
        instance_id="ins_1",
        run_id=f"run_{number}",
        channel="api",
        price_version="list-1",
        started_at_ms=STARTED,
        occurred_at_ms=STARTED + number,
        call_id="call_1",
        seq=number,
        model="gpt-4o",
        output=number,
    )


async def published(kafka: str, org_id: str) -> Counter[int]:
    """Return how often Kafka holds each of the organisation's events, by `seq`."""
    partition = TopicPartition(topics.TOKENS.name, partition_of(org_id, PARTITIONS))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        found: Counter[int] = Counter()
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.key == org_id.encode():
                        found[msgspec.json.decode(record.value, type=TokenEvent).seq] += 1
        return found
    finally:
        await consumer.stop()


async def test_an_event_is_on_its_organisations_partition_when_publish_returns(
    kafka: str, tmp_path: Path, org_id: str
) -> None:
    async with publisher(kafka, tmp_path) as running:
        await until(lambda: not running.away and running.spooled_bytes == 0)
        await asyncio.gather(*(running.publish(topics.TOKENS, org_id, event(org_id, n)) for n in range(20)))

        assert set(await published(kafka, org_id)) == set(range(20))


async def test_what_was_published_while_kafka_was_away_arrives_when_it_is_back(
    kafka: str, gate: KafkaGate, tmp_path: Path, org_id: str
) -> None:
    async with publisher(gate.address, tmp_path) as running:
        assert running.away
        await asyncio.gather(*(running.publish(topics.TOKENS, org_id, event(org_id, n)) for n in range(700)))
        assert running.spooled_bytes > 0

        await gate.open()
        await until(lambda: not running.away and running.spooled_bytes == 0)
        await running.publish(topics.TOKENS, org_id, event(org_id, 700))

        assert set(await published(kafka, org_id)) == set(range(701))


async def test_nothing_is_lost_when_kafka_goes_away_in_between(
    kafka: str, gate: KafkaGate, tmp_path: Path, org_id: str
) -> None:
    await gate.open()
    async with publisher(gate.address, tmp_path) as running:
        for number in range(10):
            await running.publish(topics.TOKENS, org_id, event(org_id, number))

        await gate.close()
        for number in range(10, 20):
            await running.publish(topics.TOKENS, org_id, event(org_id, number))
        assert running.away

        await gate.open()
        await until(lambda: not running.away and running.spooled_bytes == 0)
        assert set(await published(kafka, org_id)) == set(range(20))


async def test_publishing_goes_on_while_kafka_comes_and_goes(
    kafka: str, gate: KafkaGate, tmp_path: Path, org_id: str
) -> None:
    async with publisher(gate.address, tmp_path) as running:
        sent = 0

        async def send_on() -> None:
            nonlocal sent
            while True:
                await running.publish(topics.TOKENS, org_id, event(org_id, sent))
                sent += 1
                await asyncio.sleep(0.002)

        sending = asyncio.create_task(send_on())
        for _ in range(2):
            await gate.open()
            await until(lambda: not running.away)
            reached = sent
            await until(lambda reached=reached: sent > reached + 20)  # type: ignore[misc]
            await gate.close()
            await until(lambda: running.away)
        sending.cancel()
        await asyncio.wait([sending])
        await gate.open()
        await until(lambda: not running.away and running.spooled_bytes == 0)

        assert set(range(sent)) <= set(await published(kafka, org_id))


async def test_what_is_written_of_a_cancelled_publish_is_not_left_behind(
    kafka: str, gate: KafkaGate, tmp_path: Path, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its write ends after Kafka is back, and nobody waits for it any more."""
    write, writing, go_on = spool_module._write_durably, threading.Event(), threading.Event()

    def slowly(path: Path, data: bytes) -> OSError | None:
        writing.set()
        assert go_on.wait(PATIENCE_S)
        return write(path, data)

    monkeypatch.setattr(spool_module, "_write_durably", slowly)
    async with publisher(gate.address, tmp_path) as running:
        sending = asyncio.create_task(running.publish(topics.TOKENS, org_id, event(org_id, 1)))
        await until(writing.is_set)
        sending.cancel()
        await asyncio.wait([sending])
        await gate.open()
        await until(lambda: not running.away)
        await asyncio.sleep(0.1)  # so that it looks for something to publish, and finds nothing yet
        go_on.set()
        await until(lambda: running.spooled_bytes == 0)

    assert await published(kafka, org_id) == Counter([1])


async def test_what_a_killed_process_left_is_published_by_the_next(
    kafka: str, tmp_path: Path, org_id: str
) -> None:
    first = unconnected(kafka, tmp_path)
    await first.publish(topics.TOKENS, org_id, event(org_id, 1))

    async with publisher(kafka, tmp_path) as second:
        await until(lambda: second.spooled_bytes == 0)

        assert await published(kafka, org_id) == Counter([1])


async def test_an_event_that_nothing_can_take_is_not_acknowledged(tmp_path: Path, org_id: str) -> None:
    full = unconnected("127.0.0.1:1", tmp_path, max_bytes=1_048_576)

    told = await asyncio.gather(
        *(full.publish(topics.TOKENS, org_id, event(org_id, n)) for n in range(5_000)), return_exceptions=True
    )

    refused = [error for error in told if error is not None]
    assert refused
    assert {type(error) for error in refused} == {SpoolFull}
    assert 0 < full.spooled_bytes <= 1_048_576


async def test_stopping_while_connecting_leaves_no_producer_open(tmp_path: Path) -> None:
    accepted, open_now = 0, 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted, open_now
        accepted, open_now = accepted + 1, open_now + 1
        while await reader.read(4_096):
            pass
        open_now -= 1
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with publisher(f"127.0.0.1:{port}", tmp_path):
            before = accepted
            await until(lambda: accepted > before)
        gc.collect()
        await until(lambda: open_now == 0)
    server.close()

    assert [str(warning.message) for warning in warned if "producer" in str(warning.message).lower()] == []
