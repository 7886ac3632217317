"""What orders ask of Stripe, over its real client and a server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import stripe_server
from pydantic import SecretStr
from stripe_server import KEY, StripeServer

from console_api.payments.port import Purchase, Refused, Unavailable
from console_api.payments.stripe import client as stripe_client
from console_api.payments.stripe.provider import StripeProvider
from kit.settings import StripeSettings


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[StripeServer]:
    async with stripe_server.running() as server:
        yield server


@pytest_asyncio.fixture
async def provider(stripe: StripeServer) -> AsyncIterator[StripeProvider]:
    async for made in _provider(stripe):
        yield made


async def _provider(stripe: StripeServer, **options: Any) -> AsyncIterator[StripeProvider]:
    settings = StripeSettings(
        **{
            "api_key": SecretStr(KEY),
            "api_base": stripe.url,
            "timeout_ms": 30_000,
            "max_retries": 1,
            **options,
        }
    )
    client, connections = stripe_client.connect(settings)
    yield StripeProvider(client)
    await connections.close_async()


def purchase(**fields: Any) -> Purchase:
    return Purchase(
        **{
            "order_id": "order_1",
            "tenant_id": "acme",
            "org_id": "org_1",
            "plan_code": "pro",
            "title": "Pro",
            "currency": "usd",
            "amount_minor": 4_900,
            "every": "once",
            "buyer_email": "ada@example.com",
            "success_url": "https://shop.example.com/done",
            "cancel_url": "https://shop.example.com/plans",
            **fields,
        }
    )


async def test_a_checkout_names_its_order(provider: StripeProvider, stripe: StripeServer) -> None:
    started = await provider.checkout(purchase())

    session = stripe.things[started.provider_ref]
    assert started.url == session["url"]
    assert started.expires_at_ms == session["expires_at"] * 1000
    assert session["metadata"] == {"order_id": "order_1", "tenant_id": "acme", "org_id": "org_1"}
    assert (session["mode"], session["amount_total"], session["currency"]) == ("payment", 4_900, "usd")
    (_, _, params, headers) = stripe.requests[0]
    assert headers["Idempotency-Key"] == "checkout:order_1"
    assert params["payment_intent_data"]["setup_future_usage"] == "off_session"
    assert params["customer_email"] == "ada@example.com"
    assert params["cancel_url"] == "https://shop.example.com/plans"


async def test_the_same_order_is_the_same_checkout(provider: StripeProvider, stripe: StripeServer) -> None:
    first, second = [await provider.checkout(purchase()) for _ in range(2)]

    assert first == second
    assert len(stripe.of("checkout.session")) == 1


async def test_an_order_does_not_get_a_second_checkout_by_other_terms(
    provider: StripeProvider, stripe: StripeServer
) -> None:
    await provider.checkout(purchase())

    with pytest.raises(Refused, match="same parameters"):
        await provider.checkout(purchase(amount_minor=1))
    assert len(stripe.of("checkout.session")) == 1


async def test_a_lost_answer_costs_no_second_checkout(provider: StripeProvider, stripe: StripeServer) -> None:
    stripe.lose_answers = 1

    started = await provider.checkout(purchase())

    assert [session["id"] for session in stripe.of("checkout.session")] == [started.provider_ref]
    assert len(stripe.requests) == 2


async def test_a_plan_that_goes_on_is_a_subscription(provider: StripeProvider, stripe: StripeServer) -> None:
    started = await provider.checkout(purchase(every="month", customer_ref="cus_9"))

    (_, _, params, _) = stripe.requests[0]
    session = stripe.things[started.provider_ref]
    assert (session["mode"], session["customer"]) == ("subscription", "cus_9")
    assert params["line_items"][0]["price_data"]["recurring"] == {"interval": "month"}
    assert params["subscription_data"]["metadata"]["order_id"] == "order_1"


async def test_a_price_of_the_catalogue_is_used_as_it_is(
    provider: StripeProvider, stripe: StripeServer
) -> None:
    price = stripe.add("price", "price", currency="eur", unit_amount=700)

    started = await provider.checkout(purchase(every="month", price_ref=price["id"]))

    assert stripe.things[started.provider_ref]["amount_total"] == 700
    assert stripe.requests[0][2]["line_items"] == [{"price": price["id"], "quantity": "1"}]


async def test_a_charge_takes_the_stored_method(provider: StripeProvider, stripe: StripeServer) -> None:
    customer = stripe.add_customer()

    charged = [await provider.charge(purchase(customer_ref=customer["id"])) for _ in range(2)]

    (intent,) = stripe.of("payment_intent")
    assert [(one.status, one.payment_ref) for one in charged] == [("succeeded", intent["id"])] * 2
    assert intent["metadata"]["runmeter"] == "charge"
    params = stripe.requests[-1][2]
    assert (params["off_session"], params["confirm"]) == ("true", "true")
    assert params["payment_method"] == stripe.of("payment_method")[0]["id"]


async def test_the_customers_default_method_comes_first(
    provider: StripeProvider, stripe: StripeServer
) -> None:
    customer = stripe.add_customer()
    customer["invoice_settings"]["default_payment_method"] = "pm_default"

    await provider.charge(purchase(customer_ref=customer["id"]))

    assert stripe.requests[-1][2]["payment_method"] == "pm_default"


@pytest.mark.parametrize(
    ("decline", "said"),
    [
        (("card_declined", "stolen_card", "Your card was declined."), "Your card was declined."),
        (("authentication_required", "authentication_required", "…"), "confirm this payment"),
    ],
)
async def test_a_decline_is_said_in_words_for_the_buyer(
    provider: StripeProvider, stripe: StripeServer, decline: tuple[str, str, str], said: str
) -> None:
    stripe.decline = decline

    charged = await provider.charge(purchase(customer_ref=stripe.add_customer()["id"]))

    assert (charged.status, charged.payment_ref) == ("declined", stripe.of("payment_intent")[0]["id"])
    assert said in charged.reason
    assert "stolen" not in charged.reason


async def test_a_slow_method_is_pending(provider: StripeProvider, stripe: StripeServer) -> None:
    stripe.next_status = "processing"

    charged = await provider.charge(purchase(customer_ref=stripe.add_customer()["id"]))

    assert charged.status == "pending"


async def test_without_a_method_nothing_is_charged(provider: StripeProvider, stripe: StripeServer) -> None:
    charged = await provider.charge(purchase(customer_ref=stripe.add_customer(method=False)["id"]))

    assert charged.status == "declined"
    assert stripe.of("payment_intent") == []
    with pytest.raises(Refused):
        await provider.charge(purchase())


async def test_a_refund_is_made_once(provider: StripeProvider, stripe: StripeServer) -> None:
    stripe.pay((await provider.checkout(purchase())).provider_ref)
    (intent,) = stripe.of("payment_intent")

    for _ in range(2):
        await provider.refund(intent["id"], 900, "refund_1")

    assert [refund["amount"] for refund in stripe.of("refund")] == [900]
    with pytest.raises(Refused, match="greater than"):
        await provider.refund(intent["id"], 4_001, "refund_2")
    with pytest.raises(Refused, match="Nothing was paid"):
        await provider.refund("cs_test_1", 1, "refund_3")


async def test_a_subscription_ends_now_or_with_its_period(
    provider: StripeProvider, stripe: StripeServer
) -> None:
    stripe.pay((await provider.checkout(purchase(every="month"))).provider_ref)
    (subscription,) = stripe.of("subscription")

    await provider.cancel(subscription["id"], at_period_end=True)
    assert (subscription["status"], subscription["cancel_at_period_end"]) == ("active", True)
    for _ in range(2):
        await provider.cancel(subscription["id"], at_period_end=False)
    assert subscription["status"] == "canceled"
    with pytest.raises(Refused, match="No such subscription"):
        await provider.cancel("sub_none", at_period_end=False)


async def test_a_customer_gets_to_the_portal(provider: StripeProvider, stripe: StripeServer) -> None:
    customer = stripe.add_customer()

    assert await provider.portal(customer["id"], "https://shop.example.com") == (
        "https://billing.example.com/p/session"
    )


@pytest.mark.parametrize("status", [500, 503, 429, 409])
async def test_a_stripe_that_fails_is_unavailable(
    provider: StripeProvider, stripe: StripeServer, status: int
) -> None:
    stripe.fail_with = [status] * 2

    with pytest.raises(Unavailable):
        await provider.checkout(purchase())
    stripe.fail_with.clear()
    assert (await provider.checkout(purchase())).url


async def test_a_stripe_that_hangs_is_unavailable(stripe: StripeServer) -> None:
    async for provider in _provider(stripe, timeout_ms=150, max_retries=0):
        stripe.running.clear()
        with pytest.raises(Unavailable):
            await provider.checkout(purchase())
        stripe.running.set()


async def test_a_stripe_that_is_not_there_is_unavailable(stripe: StripeServer) -> None:
    async for provider in _provider(stripe, api_base="http://127.0.0.1:1", max_retries=0):
        with pytest.raises(Unavailable):
            await provider.portal("cus_1", "https://shop.example.com")


async def test_a_wrong_key_is_not_shown(stripe: StripeServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async for provider in _provider(stripe, api_key=SecretStr("sk_test_wrong_one")):
        with pytest.raises(Refused) as refused:
            await provider.checkout(purchase())
    assert "RUNMETER_STRIPE_API_KEY" in str(refused.value)
    shown = str(refused.value) + caplog.text
    assert "sk_test" not in shown
    assert "ada%40" not in shown
