"""Buying by card: to Stripe's checkout and back, its word by a signed webhook, and the order follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
import stripe_server
from browser_stack import sign_in
from console_rig import Rig, rig
from playwright.async_api import Page, Route, expect
from pydantic import SecretStr
from stripe_server import KEY, SECRET, StripeServer, Thing, signed

from console_api.app import Config
from kit.settings import StripeSettings


class _Checkout:
    """Stripe's page, as far as a browser sees it: whoever opens it may pay there, or go back."""

    def __init__(self, stripe: StripeServer) -> None:
        self._stripe = stripe
        self.session: Thing = {}

    async def open(self, route: Route) -> None:
        self.session = self._stripe.things[route.request.url.rpartition("/")[2]]
        back = self.session["success_url"]
        await route.fulfill(content_type="text/html", body=f'<a href="{back}">Pay</a>')


@pytest_asyncio.fixture(scope="session")
async def stripe() -> AsyncIterator[StripeServer]:
    async with stripe_server.running() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def till(
    config: Config, stripe: StripeServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rig]:
    """A shop that takes cards."""
    cards = StripeSettings(
        api_key=SecretStr(KEY), webhook_secrets=SecretStr(SECRET), api_base=stripe.url, timeout_ms=30_000
    )
    async with rig(
        tmp_path_factory.mktemp("till"), config.redis.url, config.clickhouse, stripe=cards
    ) as opened:
        yield opened


async def _tell(till: Rig, *events: Thing) -> None:
    """Deliver events as Stripe does."""
    async with aiohttp.ClientSession() as http:
        for event in events:
            body, headers = signed(event)
            url = f"{till.api_url}/api/v1/webhooks/stripe"
            async with http.post(url, data=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(("kind", "plan"), [("agent", "Starter"), ("credits", "1,000 credits")])
async def test_a_plan_is_paid_at_stripe(
    page: Page, till: Rig, stripe: StripeServer, kind: str, plan: str
) -> None:
    checkout = _Checkout(stripe)
    await page.route("https://checkout.example.com/**", checkout.open)
    await sign_in(page, till.console_url, await till.token())
    await page.goto(f"{till.console_url}/account/buy?kind={kind}")
    await page.get_by_test_id("plan").filter(has_text=plan).get_by_test_id("buy").click()
    await page.get_by_test_id("order").click()
    await page.wait_for_url("https://checkout.example.com/**")
    assert checkout.session["amount_total"] == {"agent": 1_900, "credits": 2_500}[kind]

    # Back before Stripe has told: the order waits for its word, not for the browser's.
    await page.get_by_role("link", name="Pay").click()
    order_id = checkout.session["metadata"]["order_id"]
    await page.wait_for_url(f"{till.console_url}/account/orders/{quote(order_id)}")
    await expect(page.get_by_test_id("order-status")).to_have_text("Pending")

    completed = stripe.pay(checkout.session["id"])
    billed = stripe.of("invoice")[:1] if kind == "agent" else []
    await _tell(till, completed, *(stripe.event("invoice.paid", invoice) for invoice in billed))
    await till.deliver_grants()
    await expect(page.get_by_test_id("order-status")).to_have_text("Provisioned")
