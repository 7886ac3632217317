"""A Kafka that asks who is there: our clients get in with the password, and not with another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.errors import KafkaError
from containers import free_ports
from exporting import records
from pydantic import SecretStr
from waiting import PATIENCE_S, until

from kit.publisher import new_producer
from kit.settings import KafkaSettings
from schemas.events import encode
from schemas.partitioning import partition_of
from schemas.topics import BILLING
from stack import servers
from stack import topics as stack_topics
from stack.process import Child
from streams.exports import ranges

PASSWORD = "p4ssword-of-runmeter"
#: Appended to the embedded broker's: a listener with users beside the one that the broker itself uses.
_USERS = """
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},USERS://127.0.0.1:{users}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},USERS://127.0.0.1:{users}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_runmeter="{password}";
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaSettings]:
    """A broker with a user, topics made by that user."""
    folder = tmp_path_factory.mktemp("users")
    chosen = free_ports("broker", "controller", "users")
    spec = servers.kafka(folder / "kafka", chosen["broker"], chosen["controller"])
    with (folder / "kafka" / "server.properties").open("a") as config:
        config.write(_USERS.format(password=PASSWORD, **chosen))
    broker = Child(spec, folder, lambda: None)
    broker.start()
    assert await broker.wait_ready(PATIENCE_S), broker.last_lines(20)
    settings = KafkaSettings(
        bootstrap=f"127.0.0.1:{chosen['users']}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="runmeter",
        sasl_password=SecretStr(PASSWORD),
    )
    await stack_topics.create(settings)
    yield settings
    await broker.stop()


def exporter(kafka: KafkaSettings, folder: Path, password: str) -> subprocess.Popen[bytes]:
    """Start an exporter that writes files, and logs to `exporter.log`."""
    folder.mkdir()
    file = folder / "exports.toml"
    file.write_text(f'[destinations.lake]\nkind = "files"\nurl = "{folder}/lake"\nflush_interval_ms = 20\n')
    env = {
        **os.environ,
        "RUNMETER_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "RUNMETER_KAFKA_SECURITY_PROTOCOL": kafka.security_protocol,
        "RUNMETER_KAFKA_SASL_MECHANISM": kafka.sasl_mechanism,
        "RUNMETER_KAFKA_SASL_USERNAME": kafka.sasl_username,
        "RUNMETER_KAFKA_SASL_PASSWORD": password,
        "RUNMETER_DATA_DIR": str(folder),
        "RUNMETER_EXPORTS_FILE": str(file),
        "RUNMETER_EXPORTS_DESTINATION": "lake",
    }
    with (folder / "exporter.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "streams.exports"], env=env, stdout=log, stderr=log)


async def test_a_worker_reads_and_writes_with_its_password(kafka: KafkaSettings, tmp_path: Path) -> None:
    producer = new_producer(kafka)
    await producer.start()
    for record in records("acme", "run", 4):
        at = partition_of(record.org_id, kafka.partitions)
        await producer.send_and_wait(BILLING.name, encode(record), partition=at)
    await producer.stop()
    process = exporter(kafka, tmp_path / "in", PASSWORD)
    try:
        await until(lambda: len(list((tmp_path / "in").rglob("*.parquet"))) >= 1, "a file is written")
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)

    assert sum(end - first for first, end in (await ranges.bounds(kafka)).values()) == 4
    assert await ranges.committed(kafka, "lake")
    assert PASSWORD not in (tmp_path / "in" / "exporter.log").read_text()


async def test_a_wrong_password_is_refused_and_said(kafka: KafkaSettings, tmp_path: Path) -> None:
    wrong = kafka.model_copy(update={"sasl_password": SecretStr("not-it-4242")})
    producer = new_producer(wrong)
    with pytest.raises(KafkaError) as refused:
        await producer.start()
    await producer.stop()
    process, log = exporter(kafka, tmp_path / "out", "not-it-4242"), tmp_path / "out" / "exporter.log"
    try:
        await until(lambda: "waiting for Kafka" in log.read_text(), "the worker says what it waits for")
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)

    assert "Invalid username or password" in log.read_text()
    assert "not-it-4242" not in log.read_text() + str(refused.value)
