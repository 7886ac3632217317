"""The seam between orders and payment providers: what we ask of one, and what one tells us.

What a provider tells is a fact, in our own terms and absolute ("so much was returned so far", "paid up to
then"), so that hearing it twice, late or out of order changes nothing. `orders` turns facts into instances,
entitlements and credits; an adapter turns webhooks into facts, and never touches either.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

#: What became of a fact: it took effect (perhaps earlier), it does not concern us, or what it is about is not
#: known yet. An early fact is kept and told again after later ones.
Outcome = Literal["applied", "ignored", "early"]
SubscriptionStatus = Literal["active", "past_due", "ended"]


class OrderPaid(Struct, frozen=True, kw_only=True):
    """An order of ours was paid. `subscription_ref`: the provider collects further periods by itself."""

    provider: str
    order_id: str
    payment_ref: str
    currency: str
    amount_minor: int
    at_ms: int
    customer_ref: str = ""
    subscription_ref: str = ""


class OrderAbandoned(Struct, frozen=True, kw_only=True):
    """The buyer will not pay this order any more: its checkout expired, or the payment failed for good."""

    provider: str
    order_id: str
    reason: str
    at_ms: int


class Line(Struct, frozen=True, kw_only=True):
    """What was bought in a shop: a plan by its code, so many times."""

    line_ref: str
    plan_code: str
    quantity: int
    currency: str
    amount_minor: int


class ShopOrderPaid(Struct, frozen=True, kw_only=True):
    """An order that a shop took was paid there. `org_ref` is the shop's name for the buyer's organisation."""

    provider: str
    tenant_id: str
    order_ref: str
    payment_ref: str
    org_ref: str
    org_name: str
    buyer_email: str
    lines: tuple[Line, ...]
    at_ms: int


class PeriodPaid(Struct, frozen=True, kw_only=True):
    """A further period of a subscription was paid; the first one is its order's `OrderPaid`."""

    provider: str
    subscription_ref: str
    payment_ref: str
    currency: str
    amount_minor: int
    period_start_ms: int
    period_end_ms: int
    at_ms: int


class PeriodUnpaid(Struct, frozen=True, kw_only=True):
    """A payment for a further period failed; the provider may try again."""

    provider: str
    subscription_ref: str
    payment_ref: str
    at_ms: int


class SubscriptionIs(Struct, frozen=True, kw_only=True):
    """How a subscription stands at `at_ms`; what is older than what is known says nothing."""

    provider: str
    subscription_ref: str
    status: SubscriptionStatus
    #: When it ends or ended; 0: it goes on.
    ends_at_ms: int
    at_ms: int


class MoneyReturned(Struct, frozen=True, kw_only=True):
    """So much of a payment was returned so far, by refunds and disputes together.

    It can become less again, when a dispute is won. `at_ms` orders what was heard.
    """

    provider: str
    payment_ref: str
    returned_minor: int
    reason: str
    at_ms: int


Fact = OrderPaid | OrderAbandoned | ShopOrderPaid | PeriodPaid | PeriodUnpaid | SubscriptionIs | MoneyReturned


class Purchase(Struct, frozen=True, kw_only=True):
    """What a buyer is about to pay for. `price_ref`: the id of the price at the provider, if it has one."""

    order_id: str
    tenant_id: str
    org_id: str
    plan_code: str
    title: str
    currency: str
    amount_minor: int
    every: Literal["once", "day", "month", "year"]
    price_ref: str = ""
    customer_ref: str = ""
    buyer_email: str = ""
    success_url: str = ""
    cancel_url: str = ""


class Started(Struct, frozen=True, kw_only=True):
    """A checkout that waits for the buyer. An empty `url`: there is nowhere to go."""

    provider_ref: str
    url: str
    expires_at_ms: int = 0


class Charged(Struct, frozen=True, kw_only=True):
    """A payment without the buyer. `status` `pending`: the outcome follows as a fact."""

    payment_ref: str
    status: Literal["succeeded", "pending", "declined"]
    #: In words for the buyer, when declined.
    reason: str = ""


class Unavailable(Exception):
    """The provider did not answer, or failed; the same request may be made again."""


class Refused(Exception):
    """The provider will not do that, now or later; the text says why, and holds no secret."""


class Provider(Protocol):
    """What orders ask of a provider. Each raises `Unavailable` or `Refused`.

    Every request names an idempotency key derived from what it is for, so that a crash and a second try come
    to the same.
    """

    name: str

    async def checkout(self, purchase: Purchase) -> Started:
        """Begin a checkout; the same order's again is the same checkout while it is open."""

    async def charge(self, purchase: Purchase) -> Charged:
        """Take money of the customer's stored method (automatic top-up)."""

    async def refund(self, payment_ref: str, amount_minor: int, key: str) -> None:
        """Return money; the result follows as `MoneyReturned`."""

    async def cancel(self, subscription_ref: str, *, at_period_end: bool) -> None:
        """End a subscription; the result follows as `SubscriptionIs`."""

    async def portal(self, customer_ref: str, return_url: str) -> str:
        """Return the page where a customer sees invoices and changes the payment method."""
