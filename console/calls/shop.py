"""The catalogue, orders, subscriptions and automatic top-up."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from console.api import ApiError, Call, Missing
from console.calls.instances import Entitlements
from console.calls.paging import all_pages, paged
from console.visitor import Visitor, part, plain


class Price(Struct, frozen=True):
    """A price in the currency's minor units."""

    currency: str
    amount_minor: int
    every: str
    provider_ref: str = ""


class Allowance(Struct, frozen=True):
    """Credits each period."""

    amount_micro: int
    every: str
    rollover_cap_micro: int = 0


class Product(Struct, frozen=True):
    product_id: str
    code: str
    name: str
    description: str
    kind: str
    status: str


class Plan(Struct, frozen=True):
    plan_id: str
    code: str
    product: str
    name: str
    status: str
    entitlements: Entitlements
    allowance: Allowance | None
    credits_once_micro: int
    prices: tuple[Price, ...]


class Order(Struct, frozen=True):
    order_id: str
    plan: str
    provider: str
    status: str
    step: str
    error: str
    currency: str
    amount_minor: int
    returned_minor: int
    every: str
    instance_id: str | None
    has_welcome_key: bool
    created_at_ms: int
    updated_at_ms: int
    checkout_url: str = ""
    org_id: str = ""


class OrderPage(Struct, frozen=True):
    orders: tuple[Order, ...]
    next_cursor: str | None


class WelcomeKey(Struct, frozen=True):
    instance_id: str
    key: str


class Subscription(Struct, frozen=True):
    subscription_id: str
    plan: str
    provider: str
    status: str
    instance_id: str | None
    every: str
    started_at_ms: int
    paid_until_ms: int
    ends_at_ms: int
    past_due_since_ms: int


class SubscriptionPage(Struct, frozen=True):
    subscriptions: tuple[Subscription, ...]
    next_cursor: str | None


class TopUp(Struct):
    """Automatic top-up."""

    enabled: bool
    threshold_micro: int
    plan: str
    currency: str
    provider: str
    ceiling_minor: int
    cool_off_s: int = 3_600
    spent_this_month_minor: int = 0
    declines: int = 0
    error: str = ""
    next_try_at_ms: int = 0


class _ProductPage(Struct):
    products: tuple[Product, ...]
    next_cursor: str | None


class _PlanPage(Struct):
    plans: tuple[Plan, ...]
    next_cursor: str | None


class _Portal(Struct):
    url: str


_TERMS = ("enabled", "threshold_micro", "plan", "currency", "provider", "ceiling_minor", "cool_off_s")


async def products(visitor: Visitor) -> tuple[Product, ...]:
    pages = await all_pages(lambda cursor: visitor.get("/products", _ProductPage, paged(cursor)))
    return tuple(product for page in pages for product in page.products)


async def plans(visitor: Visitor) -> tuple[Plan, ...]:
    pages = await all_pages(lambda cursor: visitor.get("/plans", _PlanPage, paged(cursor)))
    return tuple(plan for page in pages for plan in page.plans)


async def plan_names(visitor: Visitor) -> dict[str, str]:
    """Return how plans are called, by code; those no longer on offer are not there."""
    try:
        offered, sold = await asyncio.gather(products(visitor), plans(visitor))
    except ApiError:
        return {}
    titles = {product.code: product.name for product in offered}
    return {plan.code: f"{titles.get(plan.product, plan.product)}: {plan.name}" for plan in sold}


async def place(visitor: Visitor, plan: str, price: Price, provider: str, key: str) -> Order:
    """Order a plan; the same key again is the same order."""
    body = {"plan": plan, "currency": price.currency, "every": price.every, "provider": provider}
    return await visitor.post("/orders", Order, body, Idempotency_Key=key)


async def payment_methods(visitor: Visitor, plan: str, price: Price) -> tuple[str, ...]:
    """Return who takes payments here.

    The API lists them only where it refuses one that does not exist, so that is what is asked; nothing is
    ordered by it.
    """
    try:
        await place(visitor, plan, price, "none", f"payment-methods-{visitor.session_id}")
    except ApiError as error:
        if error.allowed:
            return error.allowed
        raise
    return ()


async def orders(visitor: Visitor, cursor: str | None = None) -> OrderPage:
    return await visitor.get("/orders", OrderPage, paged(cursor, 50))


async def order(visitor: Visitor, order_id: str) -> Order:
    return await visitor.get(f"/orders/{part(order_id)}", Order)


async def act(visitor: Visitor, order_id: str, verb: str, **body: object) -> None:
    """`cancel`, `pay`, `mark_paid`, `retry` or `refund` an order."""
    await visitor.call(Call("POST", f"/orders/{part(order_id)}:{verb}", body=body or None))


async def reveal_key(visitor: Visitor, order_id: str) -> WelcomeKey:
    return await visitor.post(f"/orders/{part(order_id)}:reveal_key", WelcomeKey)


async def subscriptions(visitor: Visitor) -> tuple[Subscription, ...]:
    pages = await all_pages(lambda cursor: visitor.get("/subscriptions", SubscriptionPage, paged(cursor)))
    return tuple(subscription for page in pages for subscription in page.subscriptions)


async def cancel_subscription(visitor: Visitor, subscription_id: str) -> None:
    path = f"/subscriptions/{part(subscription_id)}:cancel"
    await visitor.call(Call("POST", path, body={"at_period_end": True}))


async def portal(visitor: Visitor, provider: str) -> str:
    return (await visitor.post("/billing/portal", _Portal, {"provider": provider})).url


async def topup(visitor: Visitor) -> tuple[TopUp | None, str]:
    """Return how top-up is set and its ETag; `None` before it was ever set."""
    try:
        return await visitor.versioned("/topup", TopUp)
    except Missing as error:
        if type(error) is not Missing:
            raise
        return None, ""


async def set_topup(visitor: Visitor, terms: TopUp, etag: str) -> None:
    """Set it, based on an ETag; an empty one sets it for the first time. Raises `Stale`."""
    headers = {"If-Match": etag} if etag else {"If-None-Match": "*"}
    body = {name: plain(getattr(terms, name)) for name in _TERMS}
    await visitor.call(Call("PUT", "/topup", body=body, headers=headers))
