"""Parquet files in a folder and in S3, and a topic: each record once in the files, whatever is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.fs
import pyarrow.parquet
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from containers import free_ports
from exporting import Exporting, plain
from moto.server import ThreadedMotoServer
from streams_rig import Rig
from waiting import eventually

ACCESS = {"access_key_env": "S3_KEY", "secret_key_env": "S3_KEY"}


def rows(fs: pyarrow.fs.FileSystem, root: str) -> list[dict[str, Any]]:
    """Return the rows of every file."""
    found: list[dict[str, Any]] = []
    for info in fs.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True)):
        if info.path.endswith(".parquet"):
            with fs.open_input_file(info.path) as file:
                found += pyarrow.parquet.ParquetFile(file).read().to_pylist()
    return found


def names(folder: Path) -> list[str]:
    """Return the paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def _exact_through_kills(one: Exporting, read: Any, outage: Any) -> None:
    one.start()
    await one.feed("first", 80, 10)

    async def some() -> bool:
        return bool(await asyncio.to_thread(read))

    await eventually(some, "the first file is there")
    for number in range(3):
        await one.feed(f"killed-{number}", 80, 10)
        await asyncio.sleep(0.05 * number)
        one.kill()
        if number == 1:
            await outage(one)
        one.start()
    await one.settled()
    found = await asyncio.to_thread(read)
    assert Counter(row["record_id"] for row in found) == Counter(list(one.sent))
    for row in found:
        row.pop("offset")
        assert row == plain(one.sent[row["record_id"]])


async def _no_outage(_: Exporting) -> None:
    """A folder is always there."""


@pytest.mark.timeout(420)
async def test_files_in_a_folder_hold_every_record_once_after_kills_and_a_replay(
    rig: Rig, tmp_path: Path
) -> None:
    told = {"kind": "files", "url": str(tmp_path), "max_records": 25, "flush_interval_ms": 20}
    one = Exporting(rig, "folder", "tenant-folder", told)
    local = pyarrow.fs.LocalFileSystem()
    await _exact_through_kills(one, lambda: rows(local, str(tmp_path)), _no_outage)
    before = names(tmp_path)
    (tmp_path / before[0]).unlink()

    done = await one.command("replay", "folder", "--from", "2000-01-01T00:00:00Z")

    assert done.returncode == 0, done.stderr
    found = rows(local, str(tmp_path))
    assert Counter(row["record_id"] for row in found) == Counter(list(one.sent))
    assert len(names(tmp_path)) >= len(before)
    assert not [name for name in names(tmp_path) if not name.endswith(".parquet")]
    one.kill()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ThreadedMotoServer, str, pyarrow.fs.S3FileSystem]]:
    """An S3 with one bucket."""
    port = free_ports("s3")["s3"]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    fs = pyarrow.fs.S3FileSystem(
        access_key="testing",
        secret_key="testing",
        endpoint_override=f"127.0.0.1:{port}",
        scheme="http",
        allow_bucket_creation=True,
    )
    fs.create_dir("usage")
    yield server, f"http://127.0.0.1:{port}", fs
    server.stop()


@pytest.mark.timeout(420)
async def test_objects_in_s3_hold_every_record_once_after_an_outage_kills_and_a_replay(
    rig: Rig, s3: tuple[ThreadedMotoServer, str, pyarrow.fs.S3FileSystem]
) -> None:
    server, endpoint, fs = s3
    told = {"kind": "files", "url": "s3://usage/exports", "endpoint": endpoint, "max_records": 25, **ACCESS}
    one = Exporting(rig, "bucket", "tenant-bucket", {**told, "flush_interval_ms": 20, "timeout_ms": 2_000})

    async def outage(one: Exporting) -> None:
        await asyncio.to_thread(server.stop)
        one.start()
        await one.feed("away", 40)

        async def waits() -> bool:
            return bool((await one.status())["failing"])

        await eventually(waits, "the exporter waits for S3")
        one.kill()
        await asyncio.to_thread(server.start)

    await _exact_through_kills(one, lambda: rows(fs, "usage/exports"), outage)
    before = {info.path for info in fs.get_file_info(pyarrow.fs.FileSelector("usage", recursive=True))}

    done = await one.command("replay", "bucket", "--from", "2000-01-01T00:00:00Z")

    assert done.returncode == 0, done.stderr
    assert {i.path for i in fs.get_file_info(pyarrow.fs.FileSelector("usage", recursive=True))} == before
    found = rows(fs, "usage/exports")
    assert Counter(row["record_id"] for row in found) == Counter(list(one.sent))
    one.kill()


@pytest.mark.timeout(420)
async def test_a_topic_gets_every_record_under_one_content_though_it_came_late(rig: Rig) -> None:
    told = {"kind": "kafka", "bootstrap": rig.kafka.bootstrap, "topic": "acme.usage", "timeout_ms": 3_000}
    one = Exporting(rig, "topic", "tenant-topic", told)
    one.start()
    await one.feed("first", 80, 10)

    async def waits() -> bool:
        return bool((await one.status())["failing"])

    await eventually(waits, "the exporter waits for the topic")
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("acme.usage", 4, 1)])
    await admin.close()
    for number in range(2):
        await one.feed(f"killed-{number}", 80, 10)
        one.kill()
        one.start()
    await one.settled()
    done = await one.command("replay", "topic", "--from", "2000-01-01T00:00:00Z")
    assert done.returncode == 0, done.stderr

    consumer = AIOKafkaConsumer(bootstrap_servers=rig.kafka.bootstrap, group_id=None)
    await consumer.start()
    found: dict[str, dict[str, Any]] = {}
    total = 0
    try:
        ends = await consumer.end_offsets([TopicPartition("acme.usage", number) for number in range(4)])
        consumer.assign(list(ends))
        await consumer.seek_to_beginning()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=200)
            for message in [m for messages in fetched.values() for m in messages]:
                total += 1
                content = msgspec.json.decode(message.value)
                assert dict(message.headers)["record_id"].decode() == content["record_id"]
                assert message.key.decode() == content["org_id"]
                assert found.setdefault(content["record_id"], content) == content
    finally:
        await consumer.stop()
    assert found == {record_id: plain(record) for record_id, record in one.sent.items()}
    assert total >= 2 * len(one.sent)
    one.kill()
