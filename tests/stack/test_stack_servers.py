"""The embedded Kafka and Valkey: what they were told survives a stop, a kill and a change of ports."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from containers import Embedded, free_ports
from waiting import PATIENCE_S

from kit.settings import KafkaSettings
from stack import servers, topics
from stack.errors import StackError


def test_valkey_keeps_what_it_answered_through_a_kill(embedded: Embedded, tmp_path: Path) -> None:
    port = free_ports("valkey")["valkey"]
    with embedded.running(lambda: servers.valkey(tmp_path / "valkey", port)) as child:
        client = redis.Redis(port=port)
        client.set("wallet", 17)
        os.kill(child.info.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        value = None
        while value is None and time.monotonic() < deadline:
            try:
                value = client.get("wallet")
            except redis.ConnectionError:
                time.sleep(0.02)
        client.close()

    assert value == b"17"


def test_valkey_neither_evicts_nor_snapshots_and_listens_on_loopback_only(
    embedded: Embedded, tmp_path: Path
) -> None:
    port = free_ports("valkey")["valkey"]
    with embedded.running(lambda: servers.valkey(tmp_path / "valkey", port)):
        client = redis.Redis(port=port)
        names = ("maxmemory-policy", "appendonly", "appendfsync", "save", "bind")
        live = {name: client.config_get(name)[name] for name in names}
        client.close()

    assert live == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "bind": "127.0.0.1",
    }


async def test_kafka_keeps_its_records_through_a_stop_and_a_change_of_ports(
    embedded: Embedded, tmp_path: Path
) -> None:
    data = tmp_path / "kafka"
    before, after = free_ports("kafka", "controller"), free_ports("a", "b", "kafka", "controller")
    with embedded.running(lambda: servers.kafka(data, before["kafka"], before["controller"])):
        settings = KafkaSettings(bootstrap=f"127.0.0.1:{before['kafka']}")
        await topics.create(settings)
        producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, acks="all")
        await producer.start()
        await producer.send_and_wait("usage.runs", b"kept", partition=3)
        await producer.stop()

    with embedded.running(lambda: servers.kafka(data, after["kafka"], after["controller"])):
        consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{after['kafka']}")
        await consumer.start()
        consumer.assign([TopicPartition("usage.runs", 3)])
        await consumer.seek_to_beginning()
        record = await consumer.getone()
        await consumer.stop()

    assert record.value == b"kept"


def test_a_missing_java_is_said_in_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(StackError, match=r"Java 17.*apt-get install -y openjdk-17-jre-headless") as refused:
        servers.check_java()

    assert "\n" not in str(refused.value)


def test_a_java_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.22\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(old))

    with pytest.raises(StackError, match="this is 11"):
        servers.check_java()
