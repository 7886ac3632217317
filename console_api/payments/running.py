"""The payment providers of one process, and the log of what they deliver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from console_api.control.plane import ControlPlane
from console_api.orders import facts
from console_api.orders.provisioning import Provisioner, Reached
from console_api.payments.providers import Providers
from console_api.payments.saleor.source import SaleorSource
from console_api.payments.stripe import client as stripe_client
from console_api.payments.stripe.provider import StripeProvider
from console_api.payments.stripe.source import StripeSource
from console_api.payments.webhooks.models import Apply, Source
from console_api.payments.webhooks.service import Deliveries
from console_api.subscriptions.keeper import SubscriptionKeeper
from console_api.topup.buyer import Available, TopUps
from kit.settings import PaymentsSettings, SaleorSettings, StripeSettings, WebhookSettings, load
from kit.tasks import ended

log = logging.getLogger(__name__)

_RETRY_S = 1.0


@dataclass(frozen=True)
class PaymentsConfig:
    """The settings of the providers; one without a key or a URL is not there."""

    webhooks: WebhookSettings
    stripe: StripeSettings
    saleor: SaleorSettings
    buying: PaymentsSettings
    #: What consumes the facts.
    apply: Apply = facts.apply

    @classmethod
    def load(cls) -> PaymentsConfig:
        """Read the environment. Raises `SystemExit` with the variable to correct."""
        config = cls(
            load(WebhookSettings), load(StripeSettings), load(SaleorSettings), load(PaymentsSettings)
        )
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
    providers: Providers
    settings: PaymentsSettings


@asynccontextmanager
async def running(
    config: PaymentsConfig, plane: ControlPlane, available: Available, reached: Reached
) -> AsyncIterator[Payments]:
    """Run the payment providers until the block ends.

    `available`: what a wallet has left; `reached`: what an order waits for.
    """
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
        providers = Providers(dummy=config.buying.dummy, stripe=provider)
        keeper = SubscriptionKeeper(plane, providers, config.buying.settle_every_s)
        top_ups = TopUps(plane, providers, config.buying, available)
        work = [
            asyncio.create_task(_work(plane, run))
            for run in (deliveries.run, Provisioner(plane, reached).run, keeper.run, top_ups.run)
        ]
        try:
            yield Payments(deliveries, providers, config.buying)
        finally:
            await ended(*work)


async def _work(plane: ControlPlane, run: Callable[[], Awaitable[None]]) -> None:
    """Run a task that never ends, again if a fault of ours ended it."""
    await plane.ready.wait()
    while True:
        try:
            await run()
        except Exception:
            log.exception("a task of payments failed")
        await asyncio.sleep(_RETRY_S)
