"""What becomes of a subscription: paid, unpaid, suspended, ended. Parts of the caller's transaction.

`settle` brings about whatever is due for a subscription as it stands, and is harmless to repeat: it is called
after each fact, and now and then for all of them, because time alone ends periods and graces.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.alerts.telling import Fact, tell
from console_api.control.credits import service as credits
from console_api.control.directory import repository as directory_rows
from console_api.control.directory import service as directory
from console_api.database.tables import Order, Plan, Subscription
from console_api.orders import repository as orders
from console_api.orders import surplus
from console_api.payments.port import Outcome, PeriodPaid, PeriodUnpaid, SubscriptionIs
from console_api.subscriptions import history, periods, repository, stopping
from console_api.subscriptions.history import ACTOR
from kit.clock import new_id
from kit.settings import PaymentsSettings, load
from schemas.directory import InstanceStatus

#: How late a payment may be told before its absence means anything: providers collect hours after a period.
_SLACK_MS = 2 * 86_400_000


async def begin(session: AsyncSession, order: Order, instance_id: str | None, now_ms: int) -> Subscription:
    """Make the subscription of a paid order, unless it has one; its payments pay the first period."""
    await repository.add(session, **_values(order, now_ms, order_id=order.order_id, instance_id=instance_id))
    row = await repository.of_order(session, order.order_id)
    assert row is not None
    for paid in await orders.payments_of(session, order.order_id):
        if not paid.surplus:
            paid.subscription_id = row.subscription_id
            paid.period_start_ms, paid.period_end_ms = order.paid_at_ms, row.paid_until_ms
    return row


async def refuse(session: AsyncSession, order: Order, provider: str, ref: str, now_ms: int) -> None:
    """Have a provider collect no more for what a second payment of an order began there."""
    values = _values(order, now_ms, provider=provider, provider_ref=ref)
    if await repository.add(session, **values):
        row = await repository.one(session, values["subscription_id"])
        assert row is not None
        end(session, row, now_ms)


def _values(order: Order, now_ms: int, **fields: Any) -> dict[str, Any]:
    usual = {
        "subscription_id": new_id("sub"),
        "tenant_id": order.tenant_id,
        "org_id": order.org_id,
        "plan_id": order.plan_id,
        "provider": order.provider,
        "provider_ref": order.subscription_ref or None,
        "status": "active",
        "started_at_ms": order.paid_at_ms,
        "paid_until_ms": periods.end_of(order.paid_at_ms, order.every),
        "every": order.every,
        "created_at_ms": now_ms,
        "updated_at_ms": now_ms,
    }
    return {**usual, **fields}


def end(session: AsyncSession, row: Subscription, now_ms: int) -> None:
    """End a locked subscription now, and have its provider collect no more. An end is final."""
    if row.status == "ended":
        return
    row.status, row.updated_at_ms = "ended", now_ms
    row.ended_at_ms = min(row.ended_at_ms or now_ms, now_ms)
    stopping.arm(row, now_ms)
    history.record(session, row, "subscription.ended", now_ms)


async def period_paid(session: AsyncSession, fact: PeriodPaid, now_ms: int) -> Outcome:
    """A further period is paid: grant it, and let a suspended instance run again."""
    row = await repository.by_ref(session, fact.provider, fact.subscription_ref)
    if row is None:
        return "early"
    await pay_period(session, row, fact, now_ms)
    return "applied"


async def pay_period(session: AsyncSession, row: Subscription, fact: PeriodPaid, now_ms: int) -> bool:
    """As `period_paid`, for a locked subscription; return whether the payment is new."""
    over = bool(row.ended_at_ms) and row.ended_at_ms <= fact.at_ms
    payment_id = new_id("pay")
    new = await orders.add_payment(
        session,
        payment_id=payment_id,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        order_id=None,
        subscription_id=row.subscription_id,
        provider=fact.provider,
        provider_ref=fact.payment_ref,
        status="succeeded",
        currency=fact.currency,
        amount_minor=fact.amount_minor,
        refunded_minor=0,
        clawed_micro=0,
        period_start_ms=fact.period_start_ms,
        period_end_ms=fact.period_end_ms,
        returned_at_ms=0,
        surplus=over,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    if new and over:
        await surplus.tell_of(session, ("subscription", row.subscription_id), payment_id, now_ms)
        stopping.arm(row, now_ms)
    elif new:
        row.paid_until_ms = max(row.paid_until_ms, fact.period_end_ms)
        history.record(session, row, "subscription.paid", now_ms, until_ms=row.paid_until_ms)
        if row.status in ("past_due", "paused") and row.paid_until_ms > now_ms:
            await _recovered(session, row, now_ms)
    await settle(session, row, now_ms)
    return new


async def period_unpaid(session: AsyncSession, fact: PeriodUnpaid, now_ms: int) -> Outcome:
    """A payment failed: the grace begins, unless that period was paid after all."""
    row = await repository.by_ref(session, fact.provider, fact.subscription_ref)
    if row is None:
        return "early"
    if row.status == "active" and fact.at_ms > row.told_at_ms and row.paid_until_ms <= fact.at_ms + _SLACK_MS:
        row.status, row.past_due_since_ms, row.told_at_ms = "past_due", fact.at_ms, fact.at_ms
        history.record(session, row, "subscription.past_due", now_ms)
        await _tell(session, row, "past_due", now_ms)
    await settle(session, row, now_ms)
    return "applied"


async def stands(session: AsyncSession, fact: SubscriptionIs, now_ms: int) -> Outcome:
    """The provider says how a subscription stands; an older word than the last one says nothing."""
    row = await repository.by_ref(session, fact.provider, fact.subscription_ref)
    if row is None:
        return "early"
    if fact.at_ms < row.told_at_ms:
        return "applied"
    if row.status == "ended":
        if fact.status == "ended":
            row.stop_due_at_ms = 0
        elif not fact.ends_at_ms and not row.stop_due_at_ms:
            stopping.arm(row, now_ms)
        return "applied"
    row.told_at_ms = fact.at_ms
    if fact.status == "ended":
        row.ended_at_ms = fact.ends_at_ms or fact.at_ms
    else:
        row.ended_at_ms = fact.ends_at_ms
        if fact.status == "past_due" and row.status == "active":
            row.status, row.past_due_since_ms = "past_due", fact.at_ms
            await _tell(session, row, "past_due", now_ms)
        elif fact.status == "active" and row.status != "active":
            await _recovered(session, row, now_ms)
    history.record(session, row, "subscription.told", now_ms, status=fact.status, ends_at_ms=fact.ends_at_ms)
    await settle(session, row, now_ms)
    return "applied"


async def settle(session: AsyncSession, row: Subscription, now_ms: int) -> None:
    """Bring about what is due for a locked subscription."""
    if row.status == "ended":
        return
    grace_ms = load(PaymentsSettings).grace_s * 1_000
    if row.ended_at_ms and now_ms >= row.ended_at_ms:
        row.status, row.updated_at_ms = "ended", now_ms
        history.record(session, row, "subscription.ended", now_ms)
        await _instance_becomes(session, row, "ended", now_ms)
    elif row.status == "active" and row.paid_until_ms + _SLACK_MS <= now_ms:
        row.status, row.past_due_since_ms, row.updated_at_ms = "past_due", row.paid_until_ms, now_ms
        history.record(session, row, "subscription.past_due", now_ms)
        await _tell(session, row, "past_due", now_ms)
    if row.status == "past_due" and row.past_due_since_ms + grace_ms <= now_ms:
        row.status, row.updated_at_ms = "paused", now_ms
        history.record(session, row, "subscription.paused", now_ms)
        await _tell(session, row, "paused", now_ms)
        await _instance_becomes(session, row, "suspended", now_ms)
    plan = await session.get(Plan, row.plan_id)
    if plan is not None and plan.allowance is not None:
        due = periods.grantable(row, now_ms)
        await credits.issue_due(session, row.subscription_id, plan.allowance, due, actor=ACTOR, now_ms=now_ms)


async def _recovered(session: AsyncSession, row: Subscription, now_ms: int) -> None:
    suspended, row.status, row.past_due_since_ms = row.status == "paused", "active", 0
    row.updated_at_ms = now_ms
    if suspended:
        await _instance_becomes(session, row, "active", now_ms)


async def _instance_becomes(
    session: AsyncSession, row: Subscription, status: InstanceStatus, now_ms: int
) -> None:
    """Change the instance, unless it has ended. What is suspended for another reason, too, stays so."""
    instance = await directory_rows.instance(session, row.instance_id or "")
    if instance is None or instance.status == "ended":
        return
    if status != "ended" and instance.status == "provisioning":
        return
    await directory.set_status(
        session, instance.instance_id, status, actor=ACTOR, at_ms=now_ms, why="payment"
    )


async def _tell(session: AsyncSession, row: Subscription, what: str, now_ms: int) -> None:
    """Have the org hear that money is missing, once for each time it goes missing."""
    fact = Fact(
        row.tenant_id,
        row.org_id,
        "payment",
        subject=row.subscription_id,
        threshold=what,
        period=str(row.past_due_since_ms),
        occurred_at_ms=now_ms,
        details={"what": what, "instance_id": row.instance_id},
    )
    await tell(session, fact, now_ms)
