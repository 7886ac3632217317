"""What payment providers tell, and what comes of it. A part of the caller's transaction.

Facts are absolute, so each may be told again, late, or before an older one: what is known already changes
nothing, what is older than what is known says nothing, and what is about something unknown is `early`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.catalogue import repository as catalogue
from console_api.control import audit
from console_api.control.directory import service as directory
from console_api.control.outbox import service as outbox
from console_api.database.tables import Order, Org, Tenant
from console_api.orders import repository, returns, surplus
from console_api.orders.provisioning import first_step
from console_api.payments.port import (
    Fact,
    Line,
    MoneyReturned,
    OrderAbandoned,
    OrderPaid,
    Outcome,
    PeriodPaid,
    PeriodUnpaid,
    ShopOrderPaid,
    SubscriptionIs,
)
from console_api.subscriptions import service as subscriptions
from console_api.team import repository as team_rows
from console_api.team import service as team
from kit.clock import new_id
from kit.problems import InvalidRequest

#: Units of one line that become orders; a shop that sells more at once is asked to talk to us.
MAX_UNITS = 100


async def apply(session: AsyncSession, fact: Fact, *, now_ms: int) -> Outcome:
    """Let a fact take effect. Raises `InvalidRequest` for one that cannot be true."""
    take = _TAKEN_BY[type(fact)]
    return await take(session, fact, now_ms)


async def _order_paid(session: AsyncSession, fact: OrderPaid, now_ms: int) -> Outcome:
    order = await repository.order(session, fact.order_id, lock=True)
    if order is None:
        return "ignored"
    # A cancelled order whose money came after all is an order.
    expected = order.status in ("pending", "cancelled")
    payment_id = new_id("pay")
    new = await repository.add_payment(
        session,
        payment_id=payment_id,
        tenant_id=order.tenant_id,
        org_id=order.org_id,
        order_id=order.order_id,
        subscription_id=None,
        provider=fact.provider,
        provider_ref=fact.payment_ref,
        status="succeeded",
        currency=fact.currency,
        amount_minor=fact.amount_minor,
        refunded_minor=0,
        clawed_micro=0,
        returned_at_ms=0,
        surplus=not expected,
        period_start_ms=0,
        period_end_ms=0,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    if fact.customer_ref and await repository.add_customer(
        session, order.org_id, fact.provider, fact.customer_ref
    ):
        await outbox.project(session, "customer", f"{order.org_id}/{fact.provider}", now_ms)
    if not new:
        return "applied"
    if not expected:
        await surplus.tell_of(session, ("order", order.order_id), payment_id, now_ms)
        if fact.subscription_ref and fact.subscription_ref != order.subscription_ref:
            await subscriptions.refuse(session, order, fact.provider, fact.subscription_ref, now_ms)
        return "applied"
    order.provider, order.subscription_ref = fact.provider, fact.subscription_ref
    order.paid_at_ms = order.updated_at_ms = now_ms
    _, product = await repository.plan(session, order.plan_id)
    order.step, order.next_try_at_ms = first_step(product), now_ms
    if fact.currency != order.currency or fact.amount_minor < order.amount_minor:
        order.status = "failed"
        order.error = (
            f"{fact.amount_minor} {fact.currency} were paid of {order.amount_minor} {order.currency} (minor "
            "units); retry the order to provision it all the same"
        )
    else:
        order.status = "paid"
    _audit(session, order, "order.paid", now_ms, provider=fact.provider, payment=fact.payment_ref)
    return "applied"


async def _abandoned(session: AsyncSession, fact: OrderAbandoned, now_ms: int) -> Outcome:
    order = await repository.order(session, fact.order_id, lock=True)
    if order is None:
        return "ignored"
    if order.status == "pending":
        order.status, order.error, order.updated_at_ms = "cancelled", fact.reason, now_ms
        _audit(session, order, "order.abandoned", now_ms, reason=fact.reason)
    return "applied"


async def _shop_order_paid(session: AsyncSession, fact: ShopOrderPaid, now_ms: int) -> Outcome:
    plans = {
        line.line_ref: await catalogue.plan(session, fact.tenant_id, line.plan_code) for line in fact.lines
    }
    if not any(plans.values()):
        return "ignored"
    if await session.get(Tenant, fact.tenant_id) is None:
        raise InvalidRequest(f"There is no tenant {fact.tenant_id!r}.")
    org = await directory.ensure_org(
        session,
        fact.tenant_id,
        fact.org_name,
        at_ms=now_ms,
        external_id=f"{fact.provider}:{fact.org_ref}"[:128],
    )
    await _let_in(session, org, fact, now_ms)
    for line in fact.lines:
        found = plans[line.line_ref]
        if found is None:
            continue
        if not 1 <= line.quantity <= MAX_UNITS:
            raise InvalidRequest(
                f"Line {line.line_ref} has {line.quantity} units; 1 to {MAX_UNITS} are taken."
            )
        every = next((price.every for price in found[0].prices if price.currency == line.currency), "once")
        for unit in range(line.quantity):
            await _shop_unit(
                session,
                fact,
                line,
                unit,
                org_id=org.org_id,
                plan_id=found[0].plan_id,
                every=every,
                now_ms=now_ms,
            )
    return "applied"


async def _let_in(session: AsyncSession, org: Org, fact: ShopOrderPaid, now_ms: int) -> None:
    """Hold the owner's place for whoever bought, in an org that belongs to nobody yet."""
    email = fact.buyer_email.strip().lower()
    if not email or await team_rows.members(session, org.org_id):
        return
    await team.hold(
        session,
        tenant_id=org.tenant_id,
        org_id=org.org_id,
        email=email,
        role="owner",
        invited_by=fact.provider,
        now_ms=now_ms,
    )


async def _shop_unit(
    session: AsyncSession,
    fact: ShopOrderPaid,
    line: Line,
    unit: int,
    *,
    org_id: str,
    plan_id: str,
    every: str,
    now_ms: int,
) -> None:
    """Make an order of one unit of a line, and let it be paid."""
    share, rest = divmod(line.amount_minor, line.quantity)
    amount = share + (rest if unit == 0 else 0)
    name = f"{fact.order_ref}/{line.line_ref}/{unit}"
    key = f"{fact.provider}/{sha256(name.encode()).hexdigest()[:40]}"
    await repository.add_order(
        session,
        order_id=new_id("ord"),
        tenant_id=fact.tenant_id,
        org_id=org_id,
        plan_id=plan_id,
        idempotency_key=key,
        provider=fact.provider,
        provider_ref=name[:256],
        status="pending",
        currency=line.currency,
        amount_minor=amount,
        every=every,
        subscription_ref="",
        paid_at_ms=0,
        step="",
        attempts=0,
        next_try_at_ms=0,
        error="",
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    order = await repository.order_by_key(session, fact.tenant_id, key)
    assert order is not None
    paid = OrderPaid(
        provider=fact.provider,
        order_id=order.order_id,
        payment_ref=returns.part_of(fact.payment_ref, f"{line.line_ref}/{unit}"),
        currency=line.currency,
        amount_minor=amount,
        at_ms=fact.at_ms,
    )
    await _order_paid(session, paid, now_ms)


def _audit(session: AsyncSession, order: Order, action: str, at_ms: int, **details: object) -> None:
    audit.record(
        session,
        tenant_id=order.tenant_id,
        org_id=order.org_id,
        actor=order.provider or "payments",
        action=action,
        target=("order", order.order_id),
        at_ms=at_ms,
        **details,
    )


_TAKEN_BY: dict[type, Callable[[AsyncSession, Any, int], Awaitable[Outcome]]] = {
    OrderPaid: _order_paid,
    OrderAbandoned: _abandoned,
    ShopOrderPaid: _shop_order_paid,
    MoneyReturned: returns.apply,
    PeriodPaid: subscriptions.period_paid,
    PeriodUnpaid: subscriptions.period_unpaid,
    SubscriptionIs: subscriptions.stands,
}
