"""Our requests against Stripe's own mock, which checks every parameter with the specification of the API.

`make test` builds it where there is Go; without it these tests are skipped, saying so.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import stripe
from built import program
from containers import free_ports
from pydantic import SecretStr
from waiting import eventually

from console_api.payments.port import MoneyReturned, Purchase, Refused
from console_api.payments.stripe import client as stripe_client
from console_api.payments.stripe.provider import StripeProvider
from console_api.payments.stripe.truth import Truth
from kit.settings import StripeSettings


@pytest_asyncio.fixture(scope="module")
async def mock() -> AsyncIterator[str]:
    """The URL of a running stripe-mock."""
    binary = program("stripe-mock")
    if binary is None:
        pytest.skip("NOT TESTED AGAINST STRIPE'S SPECIFICATION: there is no stripe-mock")
    ports = free_ports("http", "https")
    addresses = [f"127.0.0.1:{ports[name]}" for name in ("http", "https")]
    process = await asyncio.create_subprocess_exec(
        binary,
        "-http-addr",
        addresses[0],
        "-https-addr",
        addresses[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://{addresses[0]}"
    try:
        async with aiohttp.ClientSession() as http:

            async def answers() -> bool:
                try:
                    async with http.get(url):
                        return True
                except aiohttp.ClientError:
                    return False

            await eventually(answers, "stripe-mock answers")
        yield url
    finally:
        process.terminate()
        await process.wait()


@pytest_asyncio.fixture
async def client(mock: str) -> AsyncIterator[stripe.StripeClient]:
    settings = StripeSettings(api_key=SecretStr("sk_test_123"), api_base=mock, max_retries=0)
    made, connections = stripe_client.connect(settings)
    yield made
    await connections.close_async()


def purchase(**fields: Any) -> Purchase:
    usual = {"order_id": "order_1", "tenant_id": "acme", "org_id": "org_1", "plan_code": "pro"}
    terms = {"title": "Pro", "currency": "usd", "amount_minor": 4_900, "every": "once"}
    pages = {"success_url": "https://shop.example.com/done", "cancel_url": "https://shop.example.com"}
    return Purchase(**{**usual, **terms, **pages, **fields})


@pytest.mark.parametrize("every", ["once", "day", "month", "year"])
@pytest.mark.parametrize(
    "fields", [{}, {"buyer_email": "ada@example.com"}, {"customer_ref": "cus_1"}, {"price_ref": "price_1"}]
)
async def test_checkouts(client: stripe.StripeClient, every: str, fields: dict[str, Any]) -> None:
    started = await StripeProvider(client).checkout(purchase(every=every, **fields))

    assert started.provider_ref.startswith("cs_")


async def test_everything_else_that_is_asked_for(client: stripe.StripeClient) -> None:
    provider = StripeProvider(client)

    charged = await provider.charge(purchase(customer_ref="cus_1"))
    assert charged.payment_ref.startswith("pi_")
    for payment_ref in ("pi_1", "ch_1"):
        await provider.refund(payment_ref, 100, "refund_1")
    for at_period_end in (True, False):
        await provider.cancel("sub_1", at_period_end=at_period_end)
    assert (await provider.portal("cus_1", "https://shop.example.com")).startswith("https://")


async def test_everything_that_is_looked_up(client: stripe.StripeClient) -> None:
    truth = Truth(client, lambda: 5)

    # The mock's payment has neither an intent nor a charge.
    assert await truth.payment_of("in_1") == ""
    for names in (("pi_1", ""), ("", "ch_1")):
        assert isinstance(await truth.returned(*names), MoneyReturned)
    stands = await truth.subscription("sub_1")
    assert stands is not None
    assert stands.status == "active"


async def test_the_mock_does_check(client: stripe.StripeClient) -> None:
    with pytest.raises(Refused, match="additional properties"), stripe_client.errors_told():
        await client.v1.checkout.sessions.create_async({"every": "once"})  # type: ignore[typeddict-unknown-key]
