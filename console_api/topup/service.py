"""Reading and changing an org's top-up. Each call is a part of its caller's transaction."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth.models import Principal
from console_api.catalogue import repository as catalogue
from console_api.control import audit
from console_api.control.errors import PreconditionFailed
from console_api.database.tables import Product, TopUp
from console_api.orders import repository as orders
from console_api.orders.service import may_buy
from console_api.payments.providers import Providers
from console_api.topup import repository
from console_api.topup.models import TopUpTerms, TopUpView
from kit.problems import InvalidRequest, NotFound
from metering.windows import start_of

#: Begins the idempotency keys of the orders that are placed by themselves.
KEY = "topup/"


async def read(session: AsyncSession, principal: Principal, now_ms: int) -> TopUpView:
    """Return how the org's top-up is set. Raises `NotFound` when it never was."""
    row = await repository.one(session, principal.org_id)
    if row is None or row.tenant_id != principal.tenant_id:
        raise NotFound("Automatic top-up is not set up; PUT its terms here.")
    return await _view(session, row, now_ms)


async def write(
    session: AsyncSession,
    principal: Principal,
    providers: Providers,
    terms: TopUpTerms,
    expected: int,
    *,
    now_ms: int,
) -> TopUpView:
    """Set the top-up. `expected`: its version, 0 if there must be none.

    Raises `Forbidden`, `InvalidRequest` for what is no pack or has no such price, `PreconditionFailed`.
    """
    may_buy(principal)
    providers.get(terms.provider)
    found = await catalogue.plan(session, principal.tenant_id, terms.plan)
    product = await session.get(Product, found[0].product_id) if found is not None else None
    if found is None or product is None or product.kind != "credits" or found[0].status != "active":
        raise InvalidRequest(f"{terms.plan!r} is no pack of credits; list what is on offer at /api/v1/plans.")
    if not any((p.currency, p.every) == (terms.currency, "once") for p in found[0].prices):
        raise InvalidRequest(f"{terms.plan!r} has no price in {terms.currency}.")
    row = await repository.one(session, principal.org_id, lock=True)
    if expected != (row.version if row is not None else 0):
        raise PreconditionFailed("Read it again and repeat your change.")
    if row is None:
        row = TopUp(org_id=principal.org_id, tenant_id=principal.tenant_id, version=0)
        row.attempts, row.order_id = 0, None
        repository.add(session, row)
    row.enabled, row.threshold_micro, row.plan_id = terms.enabled, terms.threshold_micro, found[0].plan_id
    row.currency, row.provider = terms.currency, terms.provider
    row.ceiling_minor, row.cool_off_s = terms.ceiling_minor, terms.cool_off_s
    # Whoever changes the terms wants to see them at work.
    row.declines, row.error, row.next_try_at_ms = 0, "", now_ms
    row.version += 1
    row.updated_at_ms = now_ms
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=principal.subject,
        action="topup.put",
        target=("topup", row.org_id),
        at_ms=now_ms,
        **terms.model_dump(),
    )
    await session.flush()
    return await _view(session, row, now_ms)


async def spent_this_month(session: AsyncSession, org_id: str, now_ms: int) -> int:
    """Return what was bought by itself since the first of the month, UTC, in minor units."""
    return await orders.spent_since(session, org_id, KEY, start_of("month", now_ms))


async def _view(session: AsyncSession, row: TopUp, now_ms: int) -> TopUpView:
    plan = await repository.plan(session, row.plan_id)
    return TopUpView(
        enabled=row.enabled,
        threshold_micro=row.threshold_micro,
        plan=plan.code,
        currency=row.currency,
        provider=row.provider,
        ceiling_minor=row.ceiling_minor,
        cool_off_s=row.cool_off_s,
        spent_this_month_minor=await spent_this_month(session, row.org_id, now_ms),
        declines=row.declines,
        error=row.error,
        next_try_at_ms=row.next_try_at_ms,
        version=row.version,
    )
