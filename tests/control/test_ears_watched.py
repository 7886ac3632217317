"""Who hears topics in the console API is watched as workers are: how far behind, and whether stuck."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from alerts_rig import wallet_event
from control_places import Place
from control_server import Api, serving
from control_world import World
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError
from test_alerts_kafka import publish
from waiting import PATIENCE_S, until

from console_api.alerts.intake import GROUP, LimitsIntake
from console_api.consumers.readers import ROLES, roles_of
from console_api.control.intake import Intake
from console_api.database.engine import Database
from console_api.metrics import Metrics
from kit.settings import AlertSettings, DatabaseSettings, KafkaSettings
from schemas import topics


def ear(database: Database, kafka: str, world: World) -> tuple[Intake, Metrics]:
    metrics = Metrics()
    limits = LimitsIntake(database, AlertSettings(), world.clock, metrics)
    return Intake(KafkaSettings(bootstrap=kafka), GROUP, {topics.LIMITS: limits.take}, metrics), metrics


def waiting(metrics: Metrics) -> list[float]:
    """Return what the process says of its partitions; nothing until it knows."""
    (family,) = metrics.lag.collect()
    assert all(sample.labels["role"] == "alerts" for sample in family.samples)
    return [sample.value for sample in family.samples]


def stuck_s(metrics: Metrics) -> float:
    return float(metrics.registry.get_sample_value("runmeter_stalled_seconds", {"role": "alerts"}) or 0)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_an_ear_that_cannot_write_down_what_it_hears_says_so(
    world: World, tmp_path: Path, kafka: str
) -> None:
    """Its database has no tables, as one that nobody migrated."""
    empty = Place(DatabaseSettings(), tmp_path / "empty").open()
    deaf, metrics = ear(empty, kafka, world)
    await publish(kafka, [wallet_event(world, 800), wallet_event(world, 1_000)])
    for _ in range(2):
        with pytest.raises(SQLAlchemyError):
            async with asyncio.timeout(PATIENCE_S):
                await deaf.session()
    await empty.close()

    assert sum(waiting(metrics)) >= 2
    assert stuck_s(metrics) > 0
    again, metrics = ear(world.database, kafka, world)
    hearing = asyncio.create_task(again.run())
    try:
        await until(lambda: len(waiting(metrics)) > 0 and sum(waiting(metrics)) == 0, "all of it is heard")
        assert stuck_s(metrics) == 0
    finally:
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_operators_see_every_reader_of_the_log(
    place: Place, redis_url: str, redis: Redis, world: World, kafka: str
) -> None:
    await _exporter_was_here(kafka)
    async with serving(place, redis_url, kafka, world) as url, aiohttp.ClientSession() as http:
        api = Api(url, http, redis, world)
        seen = await api("GET", "/consumers", headers=await api.headers("operator", ""))

    assert seen.status == 200
    by_role = {role["role"]: role for role in seen.body["roles"]}
    assert by_role.keys() >= {role.name for role in ROLES} | {"alerts", "export-lake"}
    (row,) = [row for row in by_role["export-lake"]["partitions"] if row["partition"] == 0]
    assert (row["topic"], row["position"]) == ("billing.records", 0)


async def _exporter_was_here(kafka: str) -> None:
    """Commit as an exporter does: with what it knows of its destination."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id="runmeter-export-lake", enable_auto_commit=False
    )
    await consumer.start()
    place = TopicPartition(topics.BILLING.name, 0)
    consumer.assign([place])
    await consumer.commit({place: OffsetAndMetadata(0, 'v1;{"delivered":3}')})
    await consumer.stop()


def test_readers_of_billing_records_are_there_where_something_is_exported() -> None:
    assert roles_of({"runmeter-metering", "somebody-elses"}) == list(ROLES)

    exported = roles_of({"runmeter-billing", "runmeter-export-lake", "runmeter-export-erp"})[len(ROLES) :]

    assert [role.name for role in exported] == ["billing", "export-erp", "export-lake"]
