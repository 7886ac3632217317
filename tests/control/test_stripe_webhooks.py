"""Stripe's events over HTTP with real signatures, and the facts that they become."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import stripe_server
import webhook_rig
from control_places import Place
from control_world import World
from pydantic import SecretStr
from redis.asyncio import Redis
from stripe_server import KEY, OLD_SECRET, SECRET, StripeServer, Thing, signed
from webhook_rig import Rig

from console_api.payments.port import (
    MoneyReturned,
    OrderAbandoned,
    OrderPaid,
    PeriodPaid,
    PeriodUnpaid,
    SubscriptionIs,
)
from kit.settings import StripeSettings

DAY_MS = 86_400_000


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[StripeServer]:
    async with stripe_server.running() as server:
        yield server


@pytest_asyncio.fixture
async def rig(
    place: Place, redis_url: str, redis: Redis, world: World, stripe: StripeServer
) -> AsyncIterator[Rig]:
    settings = StripeSettings(
        api_key=SecretStr(KEY),
        webhook_secrets=SecretStr(f"{SECRET}, {OLD_SECRET}"),
        api_base=stripe.url,
        timeout_ms=30_000,
        max_retries=0,
    )
    async with webhook_rig.running(place, redis_url, redis, world, stripe=settings) as made:
        yield made


async def tell(rig: Rig, event: Thing, status: int = 200) -> str:
    answer = await rig.post("stripe", *signed(event))
    assert answer.status == status, answer.body
    return str(answer.body["status"])


def open_session(stripe: StripeServer, mode: str = "payment", **fields: Any) -> Thing:
    return stripe.add(
        "checkout.session",
        "cs_test",
        **{
            "mode": mode,
            "status": "open",
            "payment_status": "unpaid",
            "metadata": {"order_id": "order_1"},
            "client_reference_id": "order_1",
            "currency": "usd",
            "amount_total": 4_900,
            "customer": None,
            "subscription": None,
            "payment_intent": None,
            "invoice": None,
            "subscription_metadata": {"order_id": "order_1"},
            **fields,
        },
    )


def subscribed(stripe: StripeServer) -> tuple[Thing, Thing]:
    """Return a subscription, and the event that it was paid."""
    paid = stripe.pay(open_session(stripe, "subscription")["id"])
    return stripe.of("subscription")[0], paid


async def test_a_paid_checkout_is_a_paid_order(rig: Rig, stripe: StripeServer) -> None:
    event = stripe.pay(open_session(stripe)["id"])

    assert await tell(rig, event) == "applied"
    (intent,) = stripe.of("payment_intent")
    assert await rig.booked(OrderPaid) == [
        OrderPaid(
            provider="stripe",
            order_id="order_1",
            payment_ref=intent["id"],
            currency="usd",
            amount_minor=4_900,
            customer_ref=stripe.of("customer")[0]["id"],
            at_ms=event["created"] * 1000,
        )
    ]
    (row,) = await rig.deliveries()
    assert (row.provider, row.event_id, row.kind) == ("stripe", event["id"], event["type"])
    assert (row.status, row.error, row.applied_at_ms) == ("applied", "", rig.world.clock())


async def test_a_subscription_is_paid_by_its_first_invoice(rig: Rig, stripe: StripeServer) -> None:
    subscription, paid = subscribed(stripe)
    first = stripe.event("invoice.paid", stripe.of("invoice")[0])

    assert [await tell(rig, event) for event in (first, paid)] == ["ignored", "applied"]
    (fact,) = await rig.all_booked()
    assert (fact.subscription_ref, fact.amount_minor) == (subscription["id"], 4_900)
    # What a refund of it will name, too.
    assert fact.payment_ref == stripe.of("payment_intent")[0]["id"]


async def test_a_further_period_is_paid(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)
    event = stripe.renew(subscription["id"])

    assert await tell(rig, event) == "applied"
    item = subscription["items"]["data"][0]
    assert await rig.booked(PeriodPaid) == [
        PeriodPaid(
            provider="stripe",
            subscription_ref=subscription["id"],
            payment_ref=stripe.of("payment_intent")[0]["id"],
            currency="usd",
            amount_minor=4_900,
            period_start_ms=item["current_period_start"] * 1000,
            period_end_ms=item["current_period_end"] * 1000,
            at_ms=event["created"] * 1000,
        )
    ]


async def test_a_period_may_be_paid_by_a_charge_alone(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)
    event = stripe.renew(subscription["id"])
    payment = stripe.of("invoice_payment", invoice=event["data"]["object"]["id"])[0]
    payment["payment"] = {"type": "charge", "charge": "ch_7"}

    await tell(rig, event)

    assert [fact.payment_ref for fact in await rig.booked(PeriodPaid)] == ["ch_7"]


async def test_a_period_that_is_not_paid_is_told(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)

    await tell(rig, stripe.renew(subscription["id"], paid=False))
    await tell(rig, stripe.change(subscription["id"]))

    (unpaid,) = await rig.booked(PeriodUnpaid)
    assert (unpaid.subscription_ref, unpaid.payment_ref[:3]) == (subscription["id"], "pi_")
    (stands,) = await rig.booked(SubscriptionIs)
    assert (stands.status, stands.ends_at_ms) == ("past_due", 0)


async def test_a_proration_begins_no_period(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)
    event = stripe.renew(subscription["id"])
    event["data"]["object"]["billing_reason"] = "subscription_update"

    assert await tell(rig, event) == "ignored"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("checkout.session.expired", "The checkout expired."),
        ("checkout.session.async_payment_failed", "The payment failed."),
    ],
)
async def test_a_checkout_that_comes_to_nothing(
    rig: Rig, stripe: StripeServer, kind: str, reason: str
) -> None:
    await tell(rig, stripe.event(kind, open_session(stripe)))

    (fact,) = await rig.booked(OrderAbandoned)
    assert (fact.order_id, fact.reason) == ("order_1", reason)


async def test_a_slow_payment_counts_when_it_arrives(rig: Rig, stripe: StripeServer) -> None:
    session = open_session(stripe)
    begun = stripe.event("checkout.session.completed", session)
    stripe.pay(session["id"])
    arrived = stripe.event("checkout.session.async_payment_succeeded", session)

    assert await tell(rig, begun) == "ignored"
    assert await tell(rig, arrived) == "applied"
    assert len(await rig.booked(OrderPaid)) == 1


async def test_a_link_of_the_buyers_names_no_order(rig: Rig, stripe: StripeServer) -> None:
    session = open_session(stripe, metadata={}, amount_total=1)

    assert await tell(rig, stripe.pay(session["id"])) == "ignored"
    assert await rig.all_booked() == []


async def test_a_charge_without_the_buyer_is_told(rig: Rig, stripe: StripeServer) -> None:
    intent = stripe._paid_intent(900, "usd", "cus_1")
    mark = {"order_id": "order_2", "runmeter": "charge"}
    failed = {**intent, "metadata": mark, "last_payment_error": {"message": "Your card was declined."}}

    assert await tell(rig, stripe.event("payment_intent.succeeded", intent)) == "ignored"
    assert (
        await tell(rig, stripe.event("payment_intent.succeeded", {**intent, "metadata": mark})) == "applied"
    )
    assert await tell(rig, stripe.event("payment_intent.payment_failed", failed)) == "applied"
    (paid,) = await rig.booked(OrderPaid)
    assert (paid.order_id, paid.payment_ref, paid.amount_minor) == ("order_2", intent["id"], 900)
    (abandoned,) = await rig.booked(OrderAbandoned)
    assert abandoned.reason == "Your card was declined."


async def test_in_a_checkout_another_card_may_be_tried(rig: Rig, stripe: StripeServer) -> None:
    intent = {**stripe._paid_intent(900, "usd", "cus_1"), "metadata": {"order_id": "order_1"}}

    assert await tell(rig, stripe.event("payment_intent.payment_failed", intent)) == "ignored"


async def test_money_goes_back_by_refunds_and_disputes(rig: Rig, stripe: StripeServer) -> None:
    stripe.pay(open_session(stripe)["id"])
    intent = stripe.of("payment_intent")[0]["id"]
    seen = []
    for happens in (
        lambda: stripe.refund(intent, 900),
        lambda: stripe.dispute(intent, 4_000),
        lambda: stripe.close(stripe.of("dispute")[0]["id"], "won"),
        lambda: stripe.refund(intent, 4_000),
        lambda: stripe.dispute(intent, 4_900, "warning_needs_response"),
        lambda: stripe.close(stripe.of("dispute")[0]["id"], "lost"),
    ):
        await tell(rig, happens())
        rig.world.clock.at_ms += 1_000
        seen.append((await rig.booked(MoneyReturned))[-1])

    assert [fact.returned_minor for fact in seen] == [900, 4_900, 900, 4_900, 4_900, 4_900]
    assert [fact.reason for fact in seen[:3]] == ["refund", "refund and dispute", "refund"]
    assert {fact.payment_ref for fact in seen} == {intent}


async def test_whatever_the_order_the_last_word_is_true(rig: Rig, stripe: StripeServer) -> None:
    """Three events in each order: what was heard with the latest `at_ms` is how it is."""
    for _ in itertools.permutations(range(3)):
        stripe.pay(open_session(stripe)["id"])
    intents = [intent["id"] for intent in stripe.of("payment_intent")]
    for intent, order in zip(intents, itertools.permutations(range(3)), strict=True):
        events = [stripe.refund(intent, 900), stripe.dispute(intent, 1_000)]
        events.append(stripe.close(stripe.of("dispute")[0]["id"], "won"))
        for number in order:
            rig.world.clock.at_ms += 1
            await tell(rig, events[number])

    told = await rig.booked(MoneyReturned)
    assert len(told) == 18
    last = {fact.payment_ref: fact.returned_minor for fact in sorted(told, key=lambda fact: fact.at_ms)}
    assert last == dict.fromkeys(intents, 900)


async def test_an_overtaken_subscription_event_says_how_it_is_now(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)
    updated = stripe.change(subscription["id"], cancel_at_period_end=True)
    ended = int(time.time())
    deleted = stripe.change(subscription["id"], status="canceled", ended_at=ended)

    for event in (deleted, updated):
        await tell(rig, event)

    told = await rig.booked(SubscriptionIs)
    assert [(fact.status, fact.ends_at_ms) for fact in told] == [("ended", ended * 1000)] * 2


async def test_a_cancellation_says_when_it_ends(rig: Rig, stripe: StripeServer) -> None:
    subscription, _ = subscribed(stripe)
    await tell(rig, stripe.change(subscription["id"], cancel_at_period_end=True))

    (fact,) = await rig.booked(SubscriptionIs)
    ends = subscription["items"]["data"][0]["current_period_end"] * 1000
    assert (fact.status, fact.ends_at_ms) == ("active", ends)


async def test_what_does_not_concern_us_is_ignored(rig: Rig, stripe: StripeServer) -> None:
    event = stripe.event("customer.created", stripe.add_customer())

    assert [await tell(rig, event) for _ in range(2)] == ["ignored"] * 2
    assert [row.status for row in await rig.deliveries()] == ["ignored"]


async def test_a_delivery_of_an_old_api_version_does_not_pass_silently(
    rig: Rig, stripe: StripeServer
) -> None:
    subscription, _ = subscribed(stripe)
    event = stripe.renew(subscription["id"])
    invoice = event["data"]["object"]
    del invoice["parent"]
    invoice["subscription"] = subscription["id"]

    answer = await rig.post("stripe", *signed(event))

    assert (answer.status, answer.body["code"]) == (500, "delivery_failed")
    (row,) = await rig.deliveries()
    assert row.status == "failed"
    assert "parent" in row.error


@pytest.mark.parametrize(
    "wrong",
    ["secret", "body", "old", "ahead", "absent", "empty", "odd", "not ascii", "scheme"],
)
async def test_what_is_not_signed_is_not_kept(rig: Rig, stripe: StripeServer, wrong: str) -> None:
    event = stripe.pay(open_session(stripe)["id"])
    body, headers = signed(event)
    now = int(time.time())
    if wrong == "secret":
        body, headers = signed(event, "whsec_other")
    elif wrong == "body":
        body = body.replace(b"4900", b"4901")
    elif wrong == "old":
        body, headers = signed(event, at=now - 400)
    elif wrong == "ahead":
        body, headers = signed(event, at=now + 4_000)
    elif wrong == "absent":
        del headers["Stripe-Signature"]
    else:
        right = headers["Stripe-Signature"]
        odd = {"empty": "", "odd": "t=x,v1", "not ascii": "t=1,v1=\xe9", "scheme": right.replace("v1", "v0")}
        headers["Stripe-Signature"] = odd[wrong]

    answer = await rig.post("stripe", body, headers)

    assert (answer.status, answer.body["code"]) == (400, "invalid_signature")
    assert "secret" not in json.dumps(answer.body)
    assert await rig.deliveries() == []


async def test_the_old_secret_holds_while_it_rotates(rig: Rig, stripe: StripeServer) -> None:
    event = stripe.pay(open_session(stripe)["id"])

    assert (await rig.post("stripe", *signed(event, OLD_SECRET))).status == 200
    assert (await rig.post("stripe", *signed(event))).status == 200
    assert len(await rig.booked(OrderPaid)) == 1


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"id": 1}', b"\xff\xfe", b"{"])
async def test_what_is_no_event_is_refused(rig: Rig, body: bytes) -> None:
    headers = signed(b"{}")[1]
    if body != b"\xff\xfe":
        headers = signed(body)[1]

    answer = await rig.post("stripe", body, headers)

    assert answer.status == (400 if body == b"\xff\xfe" else 422)
    assert await rig.deliveries() == []


async def test_while_stripe_is_away_a_delivery_waits(rig: Rig, stripe: StripeServer) -> None:
    stripe.pay(open_session(stripe)["id"])
    event = stripe.refund(stripe.of("payment_intent")[0]["id"], 100)
    stripe.running.clear()

    answer = await rig.post("stripe", *signed(event))

    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    (row,) = await rig.deliveries()
    assert (row.status, row.error) == ("received", "stripe could not be asked")
    stripe.running.set()
    assert await tell(rig, event) == "applied"
    assert len(await rig.booked(MoneyReturned)) == 1


async def test_a_stripe_that_comes_back_is_asked_again(rig: Rig, stripe: StripeServer) -> None:
    stripe.pay(open_session(stripe)["id"])
    intent = stripe.of("payment_intent")[0]["id"]
    events = [stripe.refund(intent, 100) for _ in range(3)]
    stripe.fail_with = [503] * 3
    for event in events:
        assert (await rig.post("stripe", *signed(event))).status == 503

    # Anything that is applied has the waiting ones told again.
    await tell(rig, stripe.pay(open_session(stripe)["id"]))

    for event in events:
        await rig.becomes(event["id"], "applied")
    assert {fact.returned_minor for fact in await rig.booked(MoneyReturned)} == {300}
