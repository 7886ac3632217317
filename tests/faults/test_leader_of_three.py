"""Kafka as production has it: three replicas, two in sync, and the broker that leads is killed under load."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from brokers import KillLeader
from trial import Plan, attempt
from world import World, world

from schemas import topics

SEED = 7
PLAN = Plan(runs=30, clients=6)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[World]:
    async with world(three_brokers=True) as started:
        yield started


async def test_topics_have_the_replicas_that_the_profile_says(running: World) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=running.urls.kafka_bootstrap)
    await admin.start()
    try:
        names = [topic.name for topic in topics.ALL]
        described = await admin.describe_topics(names)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers = await admin.describe_configs(asked)
    finally:
        await admin.close()

    assert {len(p["replicas"]) for topic in described for p in topic["partitions"]} == {3}
    live = {r[3]: {entry[0]: entry[1] for entry in r[4]} for answer in answers for r in answer.resources}
    assert {live[name]["min.insync.replicas"] for name in names} == {"2"}


async def test_no_acknowledged_run_is_lost_when_the_leaders_broker_dies(running: World) -> None:
    fault = KillLeader()

    verdict = await attempt(running, fault, random.Random(f"{SEED} {fault.name}"), PLAN)

    print(f"went on after {verdict.first_s} s, everywhere after {verdict.recovery_s} s; {verdict.notes}")
    assert verdict.runs >= PLAN.runs
    assert [str(difference) for difference in verdict.differences] == []
