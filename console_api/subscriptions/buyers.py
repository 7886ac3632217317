"""What buyers and operators may do with subscriptions."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth.models import Principal
from console_api.control.errors import Conflict
from console_api.control.plane import ControlPlane
from console_api.database.tables import Plan, Subscription
from console_api.idempotency import id_of
from console_api.orders import repository as orders
from console_api.orders.service import may_buy, operators_only
from console_api.payments import port
from console_api.payments.port import PeriodPaid
from console_api.payments.providers import OFFLINE, Providers
from console_api.subscriptions import history, periods, repository, service, stopping
from console_api.subscriptions.models import Portal, Status, SubscriptionPage, SubscriptionView
from kit.problems import NotFound, Unavailable


async def page(
    session: AsyncSession, principal: Principal, limit: int, cursor: str | None
) -> SubscriptionPage:
    """Return a page of the org's subscriptions; of the tenant's to an operator of all of it."""
    after = cursors.decode(cursor, tuple[str])[0] if cursor else ""
    rows = await repository.page(session, principal.tenant_id, principal.org_id, after, limit + 1)
    shown = rows[:limit]
    more = cursors.encode((shown[-1][0].subscription_id,)) if len(rows) > limit else None
    return SubscriptionPage(subscriptions=[_view(*row) for row in shown], next_cursor=more)


async def cancel(
    plane: ControlPlane,
    providers: Providers,
    principal: Principal,
    subscription_id: str,
    *,
    at_period_end: bool,
) -> None:
    """End a subscription. Where a provider collects, it ends when the provider says so.

    The provider is asked for one that has ended, too: it may not have heard of it. Doing it again changes
    nothing.
    """
    may_buy(principal)
    async with plane.database.writing() as session:
        row = await _own(session, principal, subscription_id, lock=True)
        ref, name, over = row.provider_ref or "", row.provider, row.status == "ended"
        if name in OFFLINE or not ref:
            if over:
                return
            now = plane.clock()
            row.ended_at_ms = max(row.paid_until_ms, now) if at_period_end else now
            history.record(
                session, row, "subscription.cancel", now, at_period_end=at_period_end, actor=principal.subject
            )
            await service.settle(session, row, now)
            return
        history.record(
            session,
            row,
            "subscription.cancel",
            plane.clock(),
            at_period_end=at_period_end,
            actor=principal.subject,
        )
    try:
        await providers.get(name).cancel(ref, at_period_end=at_period_end and not over)
    except port.Unavailable as error:
        raise _told(error) from error
    except port.Refused as error:
        async with plane.database.writing() as session:
            row = await _own(session, principal, subscription_id)
            reason = str(error)[:300]
            history.record(
                session,
                row,
                "subscription.cancel_refused",
                plane.clock(),
                reason=reason,
                actor=principal.subject,
            )
        raise _told(error) from error
    if over:
        await stopping.stopped(plane, subscription_id)


async def mark_paid(
    session: AsyncSession, principal: Principal, subscription_id: str, note: str, *, key: str, now_ms: int
) -> None:
    """Note that a further period's money was seen, once for each key.

    Operators only; for what no provider collects. Raises `Conflict` for one that ended.
    """
    operators_only(principal)
    row = await _own(session, principal, subscription_id, lock=True)
    if row.provider not in OFFLINE:
        raise Conflict(f"{row.provider} collects for this subscription and says so itself.")
    if row.status == "ended":
        raise Conflict("The subscription has ended; the buyer can order anew.")
    plan = await session.get(Plan, row.plan_id)
    assert plan is not None
    prices = [price for price in plan.prices if price.every == row.every]
    fact = PeriodPaid(
        provider=row.provider,
        subscription_ref=row.provider_ref or "",
        payment_ref=id_of(row.provider, row.subscription_id, key),
        currency=prices[0].currency if prices else "",
        amount_minor=prices[0].amount_minor if prices else 0,
        period_start_ms=row.paid_until_ms,
        period_end_ms=periods.end_of(row.paid_until_ms, row.every),
        at_ms=now_ms,
    )
    if await service.pay_period(session, row, fact, now_ms):
        history.record(
            session,
            row,
            "subscription.mark_paid",
            now_ms,
            actor=principal.subject,
            note=note,
            until_ms=row.paid_until_ms,
        )


async def portal(
    plane: ControlPlane, providers: Providers, principal: Principal, provider: str, return_url: str
) -> Portal:
    """Return the page where a buyer sees invoices and changes the payment method."""
    may_buy(principal)
    async with plane.database.reading() as session:
        customer = await orders.customer(session, principal.org_id, provider)
    if not customer:
        raise NotFound("Nothing was bought through that provider yet.")
    try:
        return Portal(url=await providers.get(provider).portal(customer, return_url))
    except (port.Unavailable, port.Refused) as error:
        raise _told(error) from error


def _told(error: port.Unavailable | port.Refused) -> Exception:
    if isinstance(error, port.Refused):
        return Conflict(f"The payment provider refused: {error}")
    return Unavailable("The payment provider cannot be asked; try again.", headers={"Retry-After": "5"})


async def _own(
    session: AsyncSession, principal: Principal, subscription_id: str, *, lock: bool = False
) -> Subscription:
    row = await repository.one(session, subscription_id, lock=lock)
    if row is None or row.tenant_id != principal.tenant_id or principal.org_id not in ("", row.org_id):
        raise NotFound("There is no such subscription in your org; list yours at /api/v1/subscriptions.")
    return row


def _view(row: Subscription, plan_code: str) -> SubscriptionView:
    return SubscriptionView(
        subscription_id=row.subscription_id,
        plan=plan_code,
        provider=row.provider,
        status=cast(Status, row.status),
        instance_id=row.instance_id,
        every=row.every,
        started_at_ms=row.started_at_ms,
        paid_until_ms=row.paid_until_ms,
        ends_at_ms=row.ended_at_ms,
        past_due_since_ms=row.past_due_since_ms,
    )
