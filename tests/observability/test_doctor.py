"""`runmeter doctor`: nothing to say of a healthy stack, and a remedy for everything that is broken."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from containers import Embedded, environment, free_ports
from observed_stack import Observed, command
from waiting import eventually, soon

from kit import redis_client
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings, SpoolSettings
from schemas import keys, topics
from stack import prepare, servers
from stack.doctor import hot, log, machine
from stack.doctor.command import examined
from stack.doctor.findings import Finding, Place
from stack.errors import StackError


def by_check(found: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


def findings(text: str) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in json.loads(text)["findings"]}


def test_of_a_healthy_stack_all_is_well(observed: Observed) -> None:
    # What only reads along is not waited for when a stack starts.
    soon(lambda: findings(observed.runmeter("doctor", "--json").stdout)["readers"]["level"] == "ok")
    asked = observed.runmeter("doctor", "--json")

    said = findings(asked.stdout)
    assert {name: one for name, one in said.items() if one["level"] != "ok"} == {}
    assert asked.returncode == 0, asked.stderr
    looked = {
        "settings",
        "java",
        "disk",
        "spool",
        "kafka",
        "partitions",
        "retention",
        "readers",
        "dead letters",
        "redis",
    }
    looked |= {"redis persistence", "clock", "fences", "lag", "clickhouse", "history", "database", "provider"}
    assert looked | {"issuer", "gateway", "metering", "warehouse", "relay", "ingestion"} <= said.keys()


def test_a_frozen_part_is_named_with_a_remedy(observed: Observed) -> None:
    pid = next(p["pid"] for p in observed.runmeter_status() if p["name"] == "provider")
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = observed.runmeter("doctor", "--json")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert asked.returncode == 2
    assert findings(asked.stdout)["provider"]["level"] == "problem"
    assert "RUNMETER_RUNNER_MODEL_BASE_URL" in findings(asked.stdout)["provider"]["remedy"]
    soon(lambda: observed.runmeter("doctor", "--json").returncode == 0, "all is well again")


def test_with_nothing_there_everything_is_named(tmp_path: Path) -> None:
    nowhere = free_ports("kafka", "redis", "clickhouse", "provider")
    told = {
        "RUNMETER_KAFKA_BOOTSTRAP": f"127.0.0.1:{nowhere['kafka']}",
        "RUNMETER_REDIS_URL": f"redis://127.0.0.1:{nowhere['redis']}/0",
        "RUNMETER_CLICKHOUSE_URL": f"http://127.0.0.1:{nowhere['clickhouse']}",
        "RUNMETER_RUNNER_MODEL_BASE_URL": f"http://127.0.0.1:{nowhere['provider']}/v1",
    }
    asked = command({**environment(tmp_path), **told}, "doctor", "--json")

    said = findings(asked.stdout)
    assert asked.returncode == 2
    for part in ("kafka", "redis", "clickhouse", "provider", "database"):
        assert said[part]["level"] == "problem", part
    assert all(one["remedy"] for one in said.values() if one["level"] != "ok")


def test_a_wrong_variable_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    asked = command({**environment(tmp_path), "RUNMETER_GATEWAY_PORT": "70000"}, "doctor", "--json")

    assert asked.returncode == 2
    [finding] = json.loads(asked.stdout)["findings"]
    assert "RUNMETER_GATEWAY_PORT" in finding["said"]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Kafka and Valkey of their own, prepared; no ClickHouse."""
    folder = tmp_path_factory.mktemp("doctor")
    ports = free_ports("kafka", "controller", "valkey", "clickhouse")
    embedded = Embedded(folder)
    kafka = KafkaSettings(bootstrap=f"127.0.0.1:{ports['kafka']}")
    redis = RedisSettings(url=f"redis://127.0.0.1:{ports['valkey']}/0")
    with (
        embedded.running(lambda: servers.kafka(folder / "kafka", ports["kafka"], ports["controller"])),
        embedded.running(lambda: servers.valkey(folder / "valkey", ports["valkey"])),
    ):
        await prepare.prepare(kafka, redis)
        away = ClickHouseSettings(url=f"http://127.0.0.1:{ports['clickhouse']}")
        yield Place(folder / "data", kafka, redis, away, "http://127.0.0.1:9", "", {})
    embedded.close()


async def looked(look: AsyncIterator[Finding]) -> dict[str, Finding]:
    return by_check([finding async for finding in look])


async def test_a_redis_that_forgets_or_evicts_is_a_problem(place: Place) -> None:
    redis = redis_client.connect(place.redis)
    assert {f.level for f in (await looked(hot.look(place))).values()} == {"ok"}
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.config_set("appendonly", "no")
    fence = keys.fence(3, topics.TOKENS.name)
    await redis.delete(fence)
    try:
        said = await looked(hot.look(place))
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("appendonly", "yes")
        await redis.set(fence, 0)

    assert said["redis eviction"].level == said["redis persistence"].level == "problem"
    assert said["fences"].level == "problem"
    assert "usage.tokens/3" in said["fences"].said
    await redis.set(fence, 7)
    assert (await looked(hot.look(place)))["fences and log"].level == "problem"
    await redis.set(fence, 0)
    await redis.set(keys.applying(2), "5")
    assert "[2]" in (await looked(hot.look(place)))["state"].said
    await redis.delete(keys.applying(2))
    await redis.aclose()


async def test_a_clock_that_is_wrong_is_a_problem(place: Place) -> None:
    said = await looked(hot.look(place, wall=lambda: 1_000_000_000.0))

    assert said["clock"].level == "problem"


async def test_a_topic_that_running_readers_leave_unread_is_a_warning(place: Place) -> None:
    assert (await looked(log.look(place)))["readers"].level == "ok", "nobody runs"
    reader = AIOKafkaConsumer(
        topics.RUNS.name, bootstrap_servers=place.kafka.bootstrap, group_id="runmeter-warehouse"
    )
    await reader.start()
    try:
        said = (await looked(log.look(place)))["readers"]
    finally:
        await reader.stop()

    assert said.level == "warning"
    assert "usage.dead_letters" in said.said
    assert "usage.runs" not in said.said
    assert said.said.endswith("by warehouse")


async def test_topics_of_another_shape_are_problems(place: Place) -> None:
    said: dict[str, Finding] = {}
    admin = AIOKafkaAdminClient(bootstrap_servers=place.kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topics.LIMITS.name, topics.LEDGER.name])

        async def made() -> bool:
            config = {
                "cleanup.policy": "compact",
                "retention.ms": "1000",
                "message.timestamp.type": "CreateTime",
            }
            reply = await admin.create_topics([NewTopic(topics.LEDGER.name, 3, 1, topic_configs=config)])
            # 36: the one that was deleted is still there.
            return all(code == 0 for _, code, _ in reply.topic_errors)

        await eventually(made, "the topic is there, with another shape")
        await eventually(partial(_gone, admin, topics.LIMITS.name), "the other one is gone")

        async def told() -> bool:
            with suppress(KafkaError):
                said.update(await looked(log.look(place)))
            return all(name in said and said[name].level == "problem" for name in ("topics", "partitions"))

        # A broker tells of changed topics little by little.
        await eventually(told, "both are seen")
    finally:
        await prepare_again(admin, place)
        await admin.close()

    assert topics.LIMITS.name in said["topics"].said
    assert "credits.ledger has 3, not 8" in said["partitions"].said
    assert said["retention"].level == said["timestamps"].level == "problem"
    assert "cleanup.policy to delete" in said["cleanup"].remedy


async def _gone(admin: AIOKafkaAdminClient, name: str) -> bool:
    return name not in await admin.list_topics()


async def prepare_again(admin: AIOKafkaAdminClient, place: Place) -> None:
    """Leave the topics as they were. The broker forgets a deleted one little by little."""
    await admin.delete_topics([topics.LEDGER.name])

    async def prepared() -> bool:
        try:
            await prepare.prepare(place.kafka, place.redis)
            return {f.level for f in (await looked(log.look(place))).values()} == {"ok"}
        except (StackError, KafkaError):
            return False

    await eventually(prepared, "the topics are as they were")


async def test_a_store_that_is_away_is_a_finding_and_the_others_are_looked_at(place: Place) -> None:
    said = by_check(await examined(place))

    assert said["clickhouse"].level == "problem"
    assert "RUNMETER_CLICKHOUSE_URL" in said["clickhouse"].remedy
    assert said["kafka"].level == "ok"
    assert said["database"].level == said["provider"].level == "problem"


async def test_events_on_disk_are_a_warning_and_much_of_them_a_problem(place: Place, tmp_path: Path) -> None:
    spool = tmp_path / "spool" / "gateway"
    spool.mkdir(parents=True)
    waiting = Place(tmp_path, place.kafka, place.redis, place.clickhouse, "", "", {})
    (spool / "000000000001.spool").write_bytes(b"x" * 100)
    assert (await looked(machine.look(waiting)))["spool"].level == "warning"

    with (spool / "000000000002.spool").open("wb") as file:
        file.truncate(SpoolSettings().max_bytes)
    assert (await looked(machine.look(waiting)))["spool"].level == "problem"


def test_every_level_has_its_exit_status(observed: Observed) -> None:
    said: Any = json.loads(observed.runmeter("doctor", "--json").stdout)

    assert said["status"] == 0
    assert "→" not in observed.runmeter("doctor").stdout
