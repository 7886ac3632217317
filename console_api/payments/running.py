"""The payment providers of one process, and the log of what they deliver."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.plane import ControlPlane
from console_api.payments.port import Fact, Outcome
from console_api.payments.saleor.source import SaleorSource
from console_api.payments.stripe import client as stripe_client
from console_api.payments.stripe.provider import StripeProvider
from console_api.payments.stripe.source import StripeSource
from console_api.payments.webhooks.models import Apply, Source
from console_api.payments.webhooks.service import Deliveries
from kit.settings import SaleorSettings, StripeSettings, WebhookSettings, load

log = logging.getLogger(__name__)

_RETRY_S = 1.0


async def _nobody(session: AsyncSession, fact: Fact, *, now_ms: int) -> Outcome:
    """Stand in for orders: everything waits."""
    return "early"


@dataclass(frozen=True)
class PaymentsConfig:
    """The settings of the providers; one without a key or a URL is not there."""

    webhooks: WebhookSettings
    stripe: StripeSettings
    saleor: SaleorSettings
    #: What consumes the facts.
    apply: Apply = _nobody

    @classmethod
    def load(cls) -> PaymentsConfig:
        """Read the environment. Raises `SystemExit` with the variable to correct."""
        config = cls(load(WebhookSettings), load(StripeSettings), load(SaleorSettings))
        config.check()
        return config

    def check(self) -> None:
        """Raise `SystemExit` for settings that would take payments and not hear of them."""
        if self.stripe.api_key.get_secret_value() and not self.stripe.webhook_secrets.get_secret_value():
            raise SystemExit(
                "invalid settings: RUNMETER_STRIPE_WEBHOOK_SECRETS: give the signing secret of the webhook "
                "endpoint (whsec_…), or Stripe's payments would not be heard of"
            )
        for name, url in (
            ("RUNMETER_STRIPE_API_BASE", self.stripe.api_base),
            ("RUNMETER_SALEOR_URL", self.saleor.url or "https://none"),
        ):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise SystemExit(
                    f"invalid settings: {name}: give an address such as https://shop.example.com"
                )


@dataclass(frozen=True)
class Payments:
    """What there is to work with."""

    deliveries: Deliveries
    #: `None`: Stripe is not set up.
    stripe: StripeProvider | None


@asynccontextmanager
async def running(config: PaymentsConfig, plane: ControlPlane) -> AsyncIterator[Payments]:
    """Run the payment providers until the block ends."""
    async with AsyncExitStack() as stack:
        sources: list[Source] = []
        provider = None
        if config.stripe.api_key.get_secret_value():
            client, connections = stripe_client.connect(config.stripe)
            stack.push_async_callback(connections.close_async)
            sources.append(StripeSource(client, config.stripe, plane.clock))
            provider = StripeProvider(client)
        if config.saleor.url:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            sources.append(SaleorSource(http, config.saleor, plane.clock))
        deliveries = Deliveries(plane.database, sources, config.apply, config.webhooks, plane.clock)
        work = asyncio.create_task(_work(plane, deliveries))
        try:
            yield Payments(deliveries, provider)
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def _work(plane: ControlPlane, deliveries: Deliveries) -> None:
    await plane.ready.wait()
    while True:
        try:
            await deliveries.run()
        except Exception:
            log.exception("telling deliveries again failed")
        await asyncio.sleep(_RETRY_S)
