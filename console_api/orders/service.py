"""Buying, and an operator's hand in it."""

from __future__ import annotations

from hashlib import sha256
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.catalogue import repository as catalogue
from console_api.catalogue.terms import Every
from console_api.control import audit
from console_api.control.directory import repository as directory_rows
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane
from console_api.control.vault import repository as secrets
from console_api.control.vault import service as vault
from console_api.database.tables import Order, Plan
from console_api.orders import facts, repository
from console_api.orders.models import (
    NewOrder,
    OrderDetail,
    OrderPage,
    OrderStatus,
    OrderView,
    PaymentView,
    PlacedOrder,
    Step,
    WelcomeKey,
)
from console_api.orders.provisioning import secret_name
from console_api.payments import port
from console_api.payments.dummy import payment_ref
from console_api.payments.port import OrderPaid, Purchase
from console_api.payments.providers import Providers
from kit.clock import new_id
from kit.problems import Forbidden, InvalidRequest, NotFound, Unavailable
from kit.settings import PaymentsSettings


async def place(
    plane: ControlPlane,
    providers: Providers,
    settings: PaymentsSettings,
    principal: Principal,
    *,
    wanted: NewOrder,
    idempotency_key: str,
) -> PlacedOrder:
    """Place an order and begin its checkout. The same key again is the same order.

    Raises `Forbidden`, `InvalidRequest`, `NotFound`, `Conflict` for a key that was used for something else,
    and `Unavailable` when the provider is away: then the same request may be made again.
    """
    may_buy(principal)
    provider = providers.get(wanted.provider)
    key = sha256(f"{principal.org_id}\n{idempotency_key}".encode()).hexdigest()
    async with plane.database.writing() as session:
        order, plan = await _placed(session, principal, wanted, key, plane.clock())
        purchase = await purchase_of(session, order, plan, settings)
    if order.status != "pending":
        return await _shown(plane, principal, order.order_id, "")
    try:
        started = await provider.checkout(purchase)
    except port.Unavailable as error:
        raise Unavailable(
            "The payment provider cannot be asked; make the same request again.", headers={"Retry-After": "5"}
        ) from error
    except port.Refused as error:
        raise Conflict(f"The payment provider refused: {error}") from error
    async with plane.database.writing() as session:
        row = await repository.order(session, order.order_id, lock=True)
        assert row is not None
        if row.status == "pending":
            row.provider_ref = started.provider_ref
    return await _shown(plane, principal, order.order_id, started.url)


async def _placed(
    session: AsyncSession, principal: Principal, wanted: NewOrder, key: str, now_ms: int
) -> tuple[Order, Plan]:
    found = await catalogue.plan(session, principal.tenant_id, wanted.plan)
    if found is None or found[0].status != "active":
        raise NotFound("There is no such plan; list them at /api/v1/plans.")
    plan = found[0]
    prices = [p for p in plan.prices if (p.currency, p.every) == (wanted.currency, wanted.every)]
    if not prices:
        raise InvalidRequest(
            f"The plan has no price in {wanted.currency} for {wanted.every!r}.",
            allowed=[f"{price.currency}/{price.every}" for price in plan.prices],
        )
    new = await repository.add_order(
        session,
        order_id=new_id("ord"),
        tenant_id=principal.tenant_id,
        org_id=principal.org_id,
        plan_id=plan.plan_id,
        idempotency_key=key,
        provider=wanted.provider,
        provider_ref=None,
        status="pending",
        currency=wanted.currency,
        amount_minor=prices[0].amount_minor,
        every=wanted.every,
        subscription_ref="",
        paid_at_ms=0,
        step="",
        attempts=0,
        next_try_at_ms=0,
        error="",
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    order = await repository.order_by_key(session, principal.tenant_id, key)
    assert order is not None
    asked = (order.plan_id, order.currency, order.every, order.provider)
    if asked != (plan.plan_id, wanted.currency, wanted.every, wanted.provider):
        raise Conflict("That Idempotency-Key was used for another order; use a new one.")
    if new:
        _audit(session, order, principal.subject, "order.place", now_ms, plan=plan.code)
    return order, plan


async def purchase_of(
    session: AsyncSession, order: Order, plan: Plan, settings: PaymentsSettings
) -> Purchase:
    """Return what a provider is told of an order."""
    price_ref = next(
        (p.provider_ref for p in plan.prices if (p.currency, p.every) == (order.currency, order.every)), ""
    )
    back = f"{settings.return_url}?order={order.order_id}"
    return Purchase(
        order_id=order.order_id,
        tenant_id=order.tenant_id,
        org_id=order.org_id,
        plan_code=plan.code,
        title=plan.name,
        currency=order.currency,
        amount_minor=order.amount_minor,
        every=cast(Every, order.every),
        price_ref=price_ref,
        customer_ref=await repository.customer(session, order.org_id, order.provider),
        success_url=back,
        cancel_url=f"{back}&cancelled=1",
    )


async def page(
    session: AsyncSession,
    principal: Principal,
    status: OrderStatus | None,
    limit: int,
    cursor: str | None,
) -> OrderPage:
    """Return a page of the org's orders, newest first; of the tenant's to an operator of all of it."""
    after = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.orders(
        session, principal.tenant_id, principal.org_id, status=status, after=after, limit=limit + 1
    )
    shown = rows[:limit]
    last = shown[-1][0] if shown else None
    return OrderPage(
        orders=[await _view(session, order, code) for order, code in shown],
        next_cursor=cursors.encode((last.created_at_ms, last.order_id))
        if last is not None and len(rows) > limit
        else None,
    )


async def one(session: AsyncSession, principal: Principal, order_id: str) -> OrderDetail:
    """Return an order with what was paid. Raises `NotFound`, also for another's."""
    order = await own(session, principal, order_id)
    plan, _ = await repository.plan(session, order.plan_id)
    view = await _view(session, order, plan.code)
    paid = await repository.payments_under(session, order_id)
    payments = [PaymentView.model_validate(payment, from_attributes=True) for payment in paid]
    return OrderDetail(**view.model_dump(), payments=payments)


async def pay(
    session: AsyncSession, principal: Principal, order_id: str, *, dummy: bool, now_ms: int
) -> None:
    """Pay an order without money. Raises `Forbidden` where that is not allowed."""
    may_buy(principal)
    order = await own(session, principal, order_id, lock=True)
    if not dummy or order.provider != "dummy":
        raise Forbidden("Only a dummy payment is made like this, and only where it is switched on.")
    await _paid_offline(session, order, "dummy", now_ms)


async def mark_paid(
    session: AsyncSession, principal: Principal, order_id: str, note: str, now_ms: int
) -> None:
    """Note that an order's money was seen. Operators only."""
    operators_only(principal)
    order = await own(session, principal, order_id, lock=True)
    if order.status not in ("pending", "cancelled"):
        raise Conflict(f"The order is {order.status} already.")
    _audit(session, order, principal.subject, "order.mark_paid", now_ms, note=note)
    await _paid_offline(session, order, "manual", now_ms)


async def _paid_offline(session: AsyncSession, order: Order, provider: str, now_ms: int) -> None:
    fact = OrderPaid(
        provider=provider,
        order_id=order.order_id,
        payment_ref=payment_ref(provider, order.order_id),
        currency=order.currency,
        amount_minor=order.amount_minor,
        at_ms=now_ms,
    )
    await facts.apply(session, fact, now_ms=now_ms)


async def cancel(session: AsyncSession, principal: Principal, order_id: str, now_ms: int) -> None:
    """Withdraw an order that is not paid. Doing it again changes nothing."""
    may_buy(principal)
    order = await own(session, principal, order_id, lock=True)
    if order.status == "cancelled":
        return
    if order.status != "pending":
        raise Conflict(f"The order is {order.status}; only one that waits for its payment can be cancelled.")
    order.status, order.updated_at_ms = "cancelled", now_ms
    _audit(session, order, principal.subject, "order.cancel", now_ms)


async def retry(session: AsyncSession, principal: Principal, order_id: str, note: str, now_ms: int) -> None:
    """Provision a failed order all the same. Operators only."""
    operators_only(principal)
    order = await own(session, principal, order_id, lock=True)
    if order.status != "failed":
        raise Conflict(f"The order is {order.status}; only a failed one is tried again.")
    order.status, order.attempts, order.next_try_at_ms = "paid", 0, now_ms
    order.updated_at_ms = now_ms
    _audit(session, order, principal.subject, "order.retry", now_ms, note=note)


async def reveal_key(
    plane: ControlPlane, session: AsyncSession, principal: Principal, order_id: str
) -> WelcomeKey:
    """Return an order's welcome key, once. Raises `NotFound` when it was shown before, or is not made yet."""
    may_buy(principal)
    order = await own(session, principal, order_id, lock=True)
    name = secret_name(order_id)
    key = await vault.read(session, plane.seal, order.tenant_id, name, org_id=order.org_id)
    instance = await directory_rows.instance_of_order(session, order_id)
    if key is None or instance is None:
        raise NotFound("There is no key to show: make one at /api/v1/instances/{id}/api_keys.")
    await vault.forget(
        session,
        order.tenant_id,
        name,
        org_id=order.org_id,
        actor=principal.subject,
        at_ms=plane.clock(),
    )
    return WelcomeKey(instance_id=instance.instance_id, key=key)


def may_buy(principal: Principal) -> None:
    """Raise `Forbidden` unless the caller may spend its org's money."""
    roles.require_org(principal, "To buy")
    roles.require(principal, "admin", "To buy")


def operators_only(principal: Principal) -> None:
    """Raise `Forbidden` unless the caller is an operator of the marketplace."""
    roles.require(principal, "operator", "This")


async def own(session: AsyncSession, principal: Principal, order_id: str, *, lock: bool = False) -> Order:
    """Return an order of the caller's org, or of its tenant. Raises `NotFound`, also for another's."""
    order = await repository.order(session, order_id, lock=lock)
    if order is None or order.tenant_id != principal.tenant_id or principal.org_id not in ("", order.org_id):
        raise NotFound("There is no such order in your org; list yours at /api/v1/orders.")
    return order


async def _shown(plane: ControlPlane, principal: Principal, order_id: str, url: str) -> PlacedOrder:
    async with plane.database.reading() as session:
        order = await own(session, principal, order_id)
        plan, _ = await repository.plan(session, order.plan_id)
        view = await _view(session, order, plan.code)
    return PlacedOrder(**view.model_dump(), checkout_url=url)


async def _view(session: AsyncSession, order: Order, plan_code: str) -> OrderView:
    instance = await directory_rows.instance_of_order(session, order.order_id)
    paid = await repository.payments_of(session, order.order_id)
    waiting = await secrets.named(session, order.tenant_id, order.org_id, secret_name(order.order_id))
    return OrderView(
        order_id=order.order_id,
        org_id=order.org_id,
        plan=plan_code,
        provider=order.provider,
        status=cast(OrderStatus, order.status),
        step=cast(Step, order.step),
        error=order.error,
        currency=order.currency,
        amount_minor=order.amount_minor,
        returned_minor=sum(payment.refunded_minor for payment in paid),
        every=cast(Every, order.every),
        instance_id=instance.instance_id if instance is not None else None,
        has_welcome_key=waiting is not None,
        created_at_ms=order.created_at_ms,
        updated_at_ms=order.updated_at_ms,
    )


def _audit(
    session: AsyncSession, order: Order, actor: str, action: str, at_ms: int, **details: object
) -> None:
    audit.record(
        session,
        tenant_id=order.tenant_id,
        org_id=order.org_id,
        actor=actor,
        action=action,
        target=("order", order.order_id),
        at_ms=at_ms,
        **details,
    )
