"""Buying over HTTP: who may, what is shown, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from containers import free_ports
from control_places import Place
from control_server import Answer, Api, serving
from control_world import World, projected
from orders_rig import PRICE, Shop
from redis.asyncio import Redis
from sqlalchemy import select
from waiting import eventually

from console_api.database.tables import Grant
from console_api.payments.running import PaymentsConfig
from console_api.subscriptions import periods
from kit.clock import new_id
from kit.settings import PaymentsSettings, SaleorSettings, StripeSettings, WebhookSettings
from schemas import keys
from schemas.partitioning import partition_of

KEY = {"Idempotency-Key": "my-first-order"}
WANTED = {"plan": "pro", "currency": "usd", "every": "month", "provider": "dummy"}
TOPUP = {
    "enabled": True,
    "threshold_micro": 1,
    "plan": "pack",
    "currency": "usd",
    "provider": "dummy",
    "ceiling_minor": 1,
}


@pytest_asyncio.fixture
async def shop_api(place: Place, redis_url: str, redis: Redis, world: World) -> AsyncIterator[Api]:
    await Shop.open(place, world)
    nowhere = f"127.0.0.1:{free_ports('nobody')['nobody']}"
    config = PaymentsConfig(
        WebhookSettings(), StripeSettings(), SaleorSettings(), PaymentsSettings(dummy=True, settle_every_s=1)
    )
    async with (
        serving(place, redis_url, nowhere, world, config) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Api(url, http, redis, world)


async def _deliver(api: Api) -> None:
    """Do what the metering worker does with grants, as far as provisioning looks at it."""
    org_id = api.world.org_id
    async with api.world.database.reading() as session:
        ids = (await session.scalars(select(Grant.grant_id).where(Grant.org_id == org_id))).all()
    if ids:
        await api.redis.sadd(keys.wallet_grants(partition_of(org_id, 8), org_id), *ids)


async def provisioned(api: Api, order_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def done() -> bool:
        await _deliver(api)
        api.world.clock.at_ms += 100  # what is not there yet is looked at again after a pause
        found.update((await api("GET", f"/orders/{order_id}")).body)
        return bool(found["status"] == "provisioned")

    await eventually(done, "the order is provisioned")
    return found


async def test_a_buyer_orders_pays_and_gets_a_key(shop_api: Api) -> None:
    api = shop_api
    placed = await api("POST", "/orders", WANTED, **KEY)
    assert (placed.status, placed.body["status"], placed.body["amount_minor"]) == (201, "pending", PRICE)
    order_id = placed.body["order_id"]
    assert (await api("POST", "/orders", WANTED, **KEY)).body["order_id"] == order_id
    assert (await api("POST", f"/orders/{order_id}:pay")).status == 204
    order = await provisioned(api, order_id)
    assert order["has_welcome_key"]

    async def active() -> bool:
        return (await projected(api.redis, order["instance_id"])).status == "active"

    await eventually(active, "gateways know the instance")
    key = await api("POST", f"/orders/{order_id}:reveal_key")
    assert (key.status, key.body["instance_id"]) == (200, order["instance_id"])
    tenant = await api.headers("operator", org_id="")
    opened = await api("POST", "/api_keys:introspect", {"key": key.body["key"]}, headers=tenant)
    assert (opened.body["active"], opened.body["instance_id"]) == (True, order["instance_id"])
    assert (await api("POST", f"/orders/{order_id}:reveal_key")).status == 404
    listed = await api("GET", "/orders")
    assert [o["order_id"] for o in listed.body["orders"]] == [order_id]
    subscriptions = await api("GET", "/subscriptions")
    assert [s["status"] for s in subscriptions.body["subscriptions"]] == ["active"]


async def test_pages_of_orders_are_whole_and_newest_first(shop_api: Api) -> None:
    made = []
    for number in range(5):
        shop_api.world.clock.at_ms += 1
        answer = await shop_api("POST", "/orders", WANTED, **{"Idempotency-Key": f"order-number-{number}"})
        made.append(answer.body["order_id"])
    seen, cursor = [], ""
    while True:
        answer = await shop_api("GET", f"/orders?limit=2{cursor}")
        seen += [order["order_id"] for order in answer.body["orders"]]
        if not answer.body["next_cursor"]:
            break
        cursor = f"&cursor={answer.body['next_cursor']}"
    assert seen == made[::-1]


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_only_owners_and_admins_spend(shop_api: Api, role: Any) -> None:
    assert (await shop_api("POST", "/orders", WANTED, role=role, **KEY)).status == 403
    assert (await shop_api("PUT", "/topup", TOPUP, role=role, **{"If-None-Match": "*"})).status == 403
    assert (await shop_api("POST", "/billing/portal", {}, role=role)).status == 403
    assert (await shop_api("GET", "/orders", role=role)).status == 200


async def test_a_foreign_order_cannot_be_told_from_none(shop_api: Api) -> None:
    api = shop_api
    order_id = (await api("POST", "/orders", WANTED, **KEY)).body["order_id"]
    strangers = [
        await api.headers("owner", org_id=new_id("org")),
        await api.headers("operator", org_id="", tenant_id=new_id("tenant")),
    ]
    note = {"note": "x"}
    for headers in strangers:
        answers = [await api("GET", f"/orders/{order_id}", headers=headers)]
        for action in ("cancel", "pay", "reveal_key"):
            answers.append(await api("POST", f"/orders/{order_id}:{action}", headers=headers))
        for action in ("mark_paid", "retry", "refund"):
            answers.append(await api("POST", f"/orders/{order_id}:{action}", note, headers=headers))
        assert {answer.status for answer in answers} <= {403, 404}
        assert answers[0].status == 404
    assert (await api("GET", f"/orders/{order_id}")).body["status"] == "pending"


async def test_what_makes_no_sense_is_refused_with_the_remedy(shop_api: Api) -> None:
    api = shop_api
    assert (await api("POST", "/orders", WANTED)).status == 422
    answers: list[Answer] = [
        await api("POST", "/orders", {**WANTED, **change}, **KEY)
        for change in ({"currency": "eur"}, {"provider": "stripe"}, {"every": "day"}, {"extra": 1})
    ]
    assert {answer.status for answer in answers} == {422}
    assert answers[0].body["allowed"] == ["usd/month", "usd/year", "usd/once"]
    assert answers[1].body["allowed"] == ["manual", "dummy"]
    assert (await api("POST", "/orders", {**WANTED, "plan": "none"}, **KEY)).status == 404
    assert (await api("POST", "/billing/portal", {})).status == 404


async def test_top_up_terms_have_a_version(shop_api: Api) -> None:
    api = shop_api
    assert (await api("GET", "/topup")).status == 404
    assert (await api("PUT", "/topup", TOPUP)).status == 428
    made = await api("PUT", "/topup", TOPUP, **{"If-None-Match": "*"})
    assert (made.status, made.headers["ETag"]) == (200, '"1"')
    assert (await api("PUT", "/topup", TOPUP, **{"If-None-Match": "*"})).status == 412
    assert (await api("PUT", "/topup", TOPUP, **{"If-Match": '"1"'})).status == 200
    assert (await api("GET", "/topup")).body["version"] == 2


async def test_owners_end_what_they_bought_and_its_subscription_with_it(shop_api: Api) -> None:
    api = shop_api
    order_id = (await api("POST", "/orders", WANTED, **KEY)).body["order_id"]
    await api("POST", f"/orders/{order_id}:pay")
    instance_id = (await provisioned(api, order_id))["instance_id"]
    path = f"/instances/{instance_id}:end"
    assert (await api("POST", path, role="member")).status == 403
    stranger = await api.headers("owner", org_id=new_id("org"))
    assert (await api("POST", path, headers=stranger)).status == 404

    (subscription,) = (await api("GET", "/subscriptions")).body["subscriptions"]
    for _ in range(2):
        ended = await api("POST", path, role="admin")
        assert (ended.status, ended.body) == (
            200,
            {
                "instance_id": instance_id,
                "subscription_id": subscription["subscription_id"],
                "provider_told": True,
            },
        )
    assert (await api("GET", "/subscriptions")).body["subscriptions"][0]["status"] == "ended"

    async def known() -> bool:
        return (await projected(api.redis, instance_id)).status == "ended"

    await eventually(known, "gateways know of the end")
    (entry,) = [e for e in await api.world.audited(instance_id) if e.details.get("now") == "ended"]
    assert (entry.action, entry.actor) == ("instance.status", "admin@example.com")


async def test_an_instance_without_a_subscription_is_ended_by_its_owner(shop_api: Api) -> None:
    ended = await shop_api("POST", f"/instances/{shop_api.world.instance_id}:end")
    assert (ended.status, ended.body["subscription_id"]) == (200, None)


async def test_an_offline_subscription_is_cancelled_and_marked_as_paid(shop_api: Api) -> None:
    api = shop_api
    order_id = (await api("POST", "/orders", WANTED, **KEY)).body["order_id"]
    await api("POST", f"/orders/{order_id}:pay")
    await provisioned(api, order_id)
    (subscription,) = (await api("GET", "/subscriptions")).body["subscriptions"]
    path = f"/subscriptions/{subscription['subscription_id']}"
    note = {"note": "bank transfer 7"}
    assert (await api("POST", f"{path}:mark_paid", note, role="operator")).status == 422
    assert (await api("POST", f"{path}:mark_paid", note, **KEY)).status == 403
    # A double click is one period.
    for _ in range(2):
        assert (await api("POST", f"{path}:mark_paid", note, role="operator", **KEY)).status == 204
    (paid,) = (await api("GET", "/subscriptions")).body["subscriptions"]
    assert paid["paid_until_ms"] == periods.end_of(subscription["paid_until_ms"], "month")
    assert (await api("POST", f"{path}:cancel", {"at_period_end": False})).status == 202
    (ended,) = (await api("GET", "/subscriptions")).body["subscriptions"]
    assert ended["status"] == "ended"
    late = await api("POST", f"{path}:mark_paid", note, role="operator", **{"Idempotency-Key": "another-one"})
    assert (late.status, "ended" in late.body["detail"]) == (409, True)

    entries = await api.world.audited(subscription["subscription_id"])
    named = [(e.action, e.actor, e.details.get("note")) for e in entries if e.actor != "subscriptions"]
    assert named == [
        ("subscription.mark_paid", "operator@example.com", "bank transfer 7"),
        ("subscription.cancel", "owner@example.com", None),
    ]
