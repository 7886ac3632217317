"""Whoever paid and has nothing, and whatever is not sent on, is told to Prometheus and to who asks."""

from __future__ import annotations

import aiohttp
import pytest
from containers import free_ports
from control_places import Place, at
from control_server import Api, serving
from control_world import World, add_token
from orders_rig import Shop
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from sqlalchemy import select, update
from waiting import eventually

from console_api import backlog
from console_api.control.outbox import repository
from console_api.database.tables import Order, OutboxRow, WebhookDelivery
from console_api.metrics import Metrics
from kit.settings import ClickHouseSettings, KafkaSettings, RedisSettings
from stack.doctor import findings, history

MINUTE_MS = 60_000


def told(metrics: Metrics) -> dict[str, float]:
    """Return what the gauges say, by name and label."""
    return {
        "/".join([sample.name.removeprefix("runmeter_console_api_"), *sample.labels.values()]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


async def _told(shop: Shop) -> dict[str, float]:
    metrics = Metrics()
    await backlog.tell(shop.plane, metrics)
    return told(metrics)


async def test_who_paid_ten_minutes_ago_and_has_nothing_is_told_of(shop: Shop) -> None:
    shop.delivers = False
    await shop.tell(shop.paid(await shop.order(provider="dummy"), provider="dummy"))
    await shop.provision()
    assert (await _told(shop))["orders_stuck/unprovisioned"] == 0

    shop.world.clock.at_ms += 10 * MINUTE_MS + 1

    assert (await _told(shop))["orders_stuck/unprovisioned"] == 1
    async with shop.world.database.writing() as session:
        await session.execute(update(Order).values(status="failed"))
    said = await _told(shop)
    assert (said["orders_stuck/unprovisioned"], said["orders_stuck/failed"]) == (0, 1)


async def test_a_delivery_that_failed_is_told_of_for_a_week(shop: Shop) -> None:
    at_ms = shop.world.clock()
    async with shop.world.database.writing() as session:
        session.add(
            WebhookDelivery(
                provider="stripe",
                event_id="evt_1",
                kind="invoice.paid",
                status="failed",
                payload="{}",
                received_at_ms=at_ms,
            )
        )

    assert (await _told(shop))["webhooks_failed"] == 1
    shop.world.clock.at_ms += backlog.FAILED_FOR_MS + 1
    assert (await _told(shop))["webhooks_failed"] == 0


async def test_what_waits_to_be_sent_and_what_never_can_are_told_of(shop: Shop) -> None:
    world = shop.world
    await world.issue("grant-1")
    world.clock.at_ms += 90_000

    said = await _told(shop)

    assert (said["outbox_rows/kafka"], said["outbox_age_seconds/kafka"]) == (1, 90)
    assert said["outbox_rows/redis"] == len(await world.outbox("redis"))
    (row,) = await world.outbox()
    async with world.database.writing() as session:
        await repository.park(session, {row.seq: "no such topic"}, world.clock())
    said = await _told(shop)
    assert (said["outbox_rows/kafka"], said["outbox_age_seconds/kafka"]) == (0, 0)
    assert said["outbox_parked_rows"] == 1


async def test_the_console_api_tells_it_by_itself(api: Api) -> None:
    """Kafka is away, so a grant stays."""
    await api.world.issue("grant-1")

    async def said() -> bool:
        async with api.http.get(f"{api.url}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        name = "runmeter_console_api_outbox_rows"
        return any(
            s.labels["lane"] == "kafka" and s.value == 1
            for f in families
            if f.name == name
            for s in f.samples
        )

    await eventually(said, "the grant that waits is told of")


async def test_an_operator_lists_the_orders_that_failed(api: Api, place: Place) -> None:
    shop = await Shop.open(place, api.world)
    bad = await shop.order(key="the-bad-one")
    good = await shop.order(key="the-good-one")
    async with api.world.database.writing() as session:
        await session.execute(update(Order).where(Order.order_id == bad.order_id).values(status="failed"))

    async def listed(query: str) -> list[str]:
        headers = await api.headers("operator", "")
        answer = await api("GET", f"/orders{query}", headers=headers)
        assert answer.status == 200
        return [order["order_id"] for order in answer.body["orders"]]

    assert await listed("?status=failed") == [bad.order_id]
    assert await listed("?status=pending") == [good.order_id]
    assert len(await listed("")) == 2
    assert (await api("GET", "/orders?status=lost")).status == 422


async def test_readiness_names_the_database(api: Api) -> None:
    async with api.http.get(f"{api.url}/readyz") as answer:
        assert (await answer.json())["checks"]["database"] == "ok"


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_the_doctor_finds_what_was_put_aside(world: World, place: Place) -> None:
    looked_at = findings.Place(
        place.data_dir, KafkaSettings(), RedisSettings(), ClickHouseSettings(), "", "", {}
    )

    async def found() -> findings.Finding:
        said = {finding.check: finding async for finding in history.look_at_database(looked_at)}
        return said["outbox"]

    assert (await found()).level == "ok"
    async with world.database.writing() as session:
        seq = await session.scalar(select(OutboxRow.seq).limit(1))
        assert seq is not None
        await repository.park(session, {seq: "no such kind"}, world.clock())
    assert (await found()).level == "warning"


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_database_that_is_away_is_named_and_the_rest_goes_on(
    world: World, place: Place, redis_url: str, redis: Redis
) -> None:
    port = free_ports("nobody")["nobody"]
    away = Place(at(f"postgresql://nobody@127.0.0.1:{port}/x", "runmeter"), place.data_dir)
    async with (
        serving(away, redis_url, f"127.0.0.1:{port}", world) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{url}/readyz") as answer:
            checks = (await answer.json())["checks"]
            assert (answer.status, checks["database"], checks["redis"]) == (503, "unreachable", "ok")
        async with http.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        headers = await add_token(redis, world.tenant_id, world.org_id)
        async with http.get(f"{url}/api/v1/account/instances", headers=headers) as answer:
            assert answer.status == 200
