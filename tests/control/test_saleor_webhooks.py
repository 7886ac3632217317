"""Saleor's webhooks over HTTP with real signatures, and the facts that they become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import saleor_signer
import webhook_rig
from control_places import Place
from control_world import World
from pydantic import SecretStr
from redis.asyncio import Redis
from saleor_signer import Key, Shop, by_secret
from webhook_rig import Rig

from console_api.payments.port import Line, MoneyReturned, ShopOrderPaid
from kit.settings import SaleorSettings

ISSUED_AT_MS = 1_789_997_600_123


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    async with saleor_signer.running() as running:
        yield running


@pytest.fixture
def options() -> dict[str, Any]:
    """More settings, for a test to override."""
    return {}


@pytest_asyncio.fixture
async def rig(
    place: Place, redis_url: str, redis: Redis, world: World, shop: Shop, options: dict[str, Any]
) -> AsyncIterator[Rig]:
    settings = SaleorSettings(
        **{"url": shop.url + "/", "tenant_id": "acme", "timeout_ms": 30_000, "keys_refresh_s": 30, **options}
    )
    async with webhook_rig.running(place, redis_url, redis, world, saleor=settings) as made:
        yield made


async def told(rig: Rig, delivery: tuple[bytes, dict[str, str]], status: int = 200) -> Any:
    answer = await rig.post("saleor", *delivery)
    assert answer.status == status, answer.body
    return answer.body.get("status") if status == 200 else answer.body["code"]


async def test_an_order_paid_in_the_shop(rig: Rig, shop: Shop) -> None:
    assert await told(rig, shop.deliver("order_fully_paid", shop.order())) == "applied"

    assert await rig.booked(ShopOrderPaid) == [
        ShopOrderPaid(
            provider="saleor",
            tenant_id="acme",
            order_ref="T3JkZXI6MQ==",
            payment_ref="T3JkZXI6MQ==",
            org_ref="VXNlcjox",
            org_name="Analytical Engines",
            buyer_email="ada@example.com",
            lines=(
                Line(
                    line_ref="T3JkZXJMaW5lOjE=",
                    plan_code="starter",
                    quantity=2,
                    currency="usd",
                    amount_minor=9_800,
                ),
            ),
            at_ms=ISSUED_AT_MS,
        )
    ]
    (row,) = await rig.deliveries()
    assert (row.provider, row.kind, row.status) == ("saleor", "order_fully_paid", "applied")


async def test_a_repeat_is_the_same_delivery(rig: Rig, shop: Shop) -> None:
    delivery = shop.deliver("order_fully_paid", shop.order())

    answers = await webhook_rig.all_at_once(*(rig.post("saleor", *delivery) for _ in range(20)))

    assert {answer.status for answer in answers} <= {200, 503}
    assert await told(rig, delivery) == "applied"
    assert len(await rig.booked(ShopOrderPaid)) == 1
    assert len(await rig.deliveries()) == 1


async def test_two_refunds_are_two_deliveries(rig: Rig, shop: Shop) -> None:
    for amount, event in ((10.5, "order_refunded"), (98, "order_fully_refunded")):
        refunded = shop.order(totalRefunded={"amount": amount, "currency": "USD"})
        assert await told(rig, shop.deliver(event, refunded)) == "applied"

    facts = await rig.booked(MoneyReturned)
    assert sorted((fact.returned_minor, fact.payment_ref) for fact in facts) == [
        (1_050, "T3JkZXI6MQ=="),
        (9_800, "T3JkZXI6MQ=="),
    ]


@pytest.mark.parametrize("charge", ["NONE", "PARTIAL"])
async def test_an_order_paid_in_part_is_not_paid(rig: Rig, shop: Shop, charge: str) -> None:
    assert await told(rig, shop.deliver("order_paid", shop.order(chargeStatus=charge))) == "ignored"


async def test_what_returned_nothing_is_ignored(rig: Rig, shop: Shop) -> None:
    assert await told(rig, shop.deliver("order_cancelled", shop.order())) == "ignored"
    assert await told(rig, shop.deliver("ProductUpdated", {"id": "x"}, Saleor_Event="product_updated")) == (
        "ignored"
    )
    assert await rig.all_booked() == []


async def test_private_metadata_names_the_org_and_public_does_not(rig: Rig, shop: Shop) -> None:
    names = {"runmeter.org": "org-7", "runmeter.org_name": "Seven", "runmeter.tenant": "other"}
    order = shop.order(
        privateMetadata=[{"key": key, "value": value} for key, value in names.items()],
        metadata=[{"key": "runmeter.org", "value": "somebody-else"}],
    )
    await told(rig, shop.deliver("order_paid", order))

    (fact,) = await rig.booked(ShopOrderPaid)
    assert (fact.org_ref, fact.org_name, fact.tenant_id) == ("org-7", "Seven", "other")


async def test_a_guest_is_known_by_the_address(rig: Rig, shop: Shop) -> None:
    await told(rig, shop.deliver("order_paid", shop.order(user=None, billingAddress=None)))

    (fact,) = await rig.booked(ShopOrderPaid)
    assert (fact.org_ref, fact.org_name) == ("ada@example.com", "ada@example.com")


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [(0.1, "EUR", 10), (1234, "JPY", 1_234), (1.234, "KWD", 1_234), (19.99, "usd", 1_999)],
)
async def test_amounts_are_exact(rig: Rig, shop: Shop, amount: float, currency: str, minor: int) -> None:
    order = shop.order(totalRefunded={"amount": amount, "currency": currency})
    await told(rig, shop.deliver("order_refunded", order))

    assert [fact.returned_minor for fact in await rig.booked(MoneyReturned)] == [minor]


@pytest.mark.parametrize(
    "fields",
    [
        {"totalRefunded": {"amount": 0.001, "currency": "USD"}},
        {"totalRefunded": {"amount": -1, "currency": "USD"}},
        {"totalRefunded": None},
    ],
)
async def test_an_order_that_makes_no_sense_is_kept_for_operators(
    rig: Rig, shop: Shop, fields: dict[str, Any]
) -> None:
    delivery = shop.deliver("order_refunded", shop.order(**fields))

    assert await told(rig, delivery, 500) == "delivery_failed"
    (row,) = await rig.deliveries()
    assert row.status == "failed"
    assert row.error


async def test_a_query_without_the_type_is_refused(rig: Rig, shop: Shop) -> None:
    body = json.dumps({"order": shop.order()}).encode()
    _, headers = shop.deliver("order_paid", {})
    by_the_book = shop.key.detached(body, crit=["b64"])
    answer = await rig.post("saleor", body, {**headers, "Saleor-Signature": by_the_book})

    assert answer.status == 422
    assert "order.graphql" in answer.body["detail"]


@pytest.mark.parametrize(
    "wrong",
    ["key", "body", "absent", "hmac", "algorithm", "attached", "critical", "encoded", "none", "odd", "event"],
)
async def test_what_is_not_signed_is_not_kept(rig: Rig, shop: Shop, wrong: str) -> None:
    body, headers = shop.deliver("order_fully_paid", shop.order())
    right = headers["Saleor-Signature"]
    name = "Saleor-Signature"
    if wrong == "key":
        headers[name] = Key().detached(body)
    elif wrong == "body":
        body = body.replace(b'"quantity": 2', b'"quantity": 9')
    elif wrong == "absent":
        del headers[name]
    elif wrong == "event":
        headers["Saleor-Event"] = "order_refunded"
    else:
        public = json.dumps(shop.key.public())
        headers[name] = {
            "hmac": by_secret(body, ""),
            "algorithm": shop.key.detached(body, alg="HS256", k=public),
            # The signature of something else, which it brings along.
            "attached": shop.key.detached(b"e30").replace("..", ".e30."),
            "critical": shop.key.detached(body, crit=["b64", "exp"]),
            "encoded": shop.key.detached(body, b64=True),
            "none": shop.key.detached(body, alg="none").rpartition(".")[0] + ".",
            "odd": right + ".x",
        }[wrong]

    assert await told(rig, (body, headers), 400) == "invalid_signature"
    assert await rig.deliveries() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Saleor_Domain": "evil.example.com"},
        {"Saleor_Api_Url": "https://evil.example.com/graphql/"},
        {"Saleor_Domain": None, "Saleor_Api_Url": None},
        {"Saleor_Api_Url": "http://[x"},
    ],
)
async def test_another_shop_is_not_ours(rig: Rig, shop: Shop, headers: dict[str, str | None]) -> None:
    delivery = shop.deliver("order_fully_paid", shop.order(), **headers)

    assert await told(rig, delivery, 400) == "invalid_signature"
    assert shop.asked == 0


async def test_keys_are_asked_for_once(rig: Rig, shop: Shop) -> None:
    for number in range(5):
        await told(rig, shop.deliver("order_paid", shop.order(number=str(number))))

    assert shop.asked == 1


@pytest.mark.parametrize("kid", ["1", "2"])
async def test_a_new_key_is_found_whatever_its_name(rig: Rig, shop: Shop, kid: str) -> None:
    await told(rig, shop.deliver("order_paid", shop.order()))
    old, shop.key = shop.key, Key(kid)
    rig.world.clock.at_ms += 31_000

    assert await told(rig, shop.deliver("order_paid", shop.order(number="2"))) == "applied"
    # The old one is gone from the shop, and so it is no longer believed.
    assert await told(rig, shop.deliver("order_paid", shop.order(number="3"), key=old), 400)
    assert shop.asked == 2


async def test_wrong_signatures_do_not_make_us_ask_the_shop_on_and_on(rig: Rig, shop: Shop) -> None:
    strangers = [shop.deliver("order_paid", shop.order(), key=Key("x")) for _ in range(2)]
    for _ in range(10):
        await asyncio.gather(*(told(rig, delivery, 400) for delivery in strangers))

    assert shop.asked == 1


async def test_keys_are_refreshed_when_they_are_old(rig: Rig, shop: Shop) -> None:
    await told(rig, shop.deliver("order_paid", shop.order()))
    rig.world.clock.at_ms += 3_601_000
    await told(rig, shop.deliver("order_paid", shop.order(number="2")))

    assert shop.asked == 2


async def test_a_shop_that_is_away_still_has_its_keys(rig: Rig, shop: Shop) -> None:
    await told(rig, shop.deliver("order_paid", shop.order()))
    shop.answer = (503, "away")
    rig.world.clock.at_ms += 3_601_000

    assert await told(rig, shop.deliver("order_paid", shop.order(number="2"))) == "applied"


@pytest.mark.parametrize(
    "answer",
    [(503, "away"), (302, ""), (200, "<html>"), (200, "[]"), (200, "{}"), (200, '{"keys": [{}, 1]}')],
)
async def test_without_keys_a_delivery_is_to_come_again(
    rig: Rig, shop: Shop, answer: tuple[int, str]
) -> None:
    delivery = shop.deliver("order_paid", shop.order())
    shop.answer = answer
    assert await told(rig, delivery, 503) == "unavailable"
    shop.answer = None
    assert await told(rig, delivery, 503) == "unavailable"
    rig.world.clock.at_ms += 31_000
    assert await told(rig, delivery) == "applied"
    assert shop.asked == 2


async def test_a_shop_that_hangs_or_talks_on_and_on_is_away(rig: Rig, shop: Shop) -> None:
    delivery = shop.deliver("order_paid", shop.order())
    shop.running.clear()
    assert await told(rig, delivery, 503) == "unavailable"
    shop.running.set()
    shop.answer = (200, json.dumps({"keys": [shop.key.public()], "more": "x" * 70_000}))
    rig.world.clock.at_ms += 31_000
    assert await told(rig, delivery, 503) == "unavailable"


class TestWithASecret:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"webhook_secret": SecretStr("s3cret")}

    @pytest.mark.parametrize("header", ["Saleor-Signature", "Saleor-Hmac-SHA256"])
    async def test_a_webhook_with_a_secret_key_is_signed_by_it(
        self, rig: Rig, shop: Shop, header: str
    ) -> None:
        body, headers = shop.deliver("order_paid", shop.order(), Saleor_Signature=None)

        assert await told(rig, (body, {**headers, header: by_secret(body, "other")}), 400)
        assert await told(rig, (body, {**headers, header: by_secret(body, "s3cret")})) == "applied"
        assert shop.asked == 0
