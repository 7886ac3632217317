"""Reconciliations: all of their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import ReconciliationRow, Tenant
from schemas.reconciliation import Reconciliation

#: Where one stands in the order of a list: `requested_at_ms`, `request_id`.
Place = tuple[int, str]
_PRUNED_AT_ONCE = 500


async def add(
    session: AsyncSession,
    *,
    request_id: str,
    tenant_id: str,
    only_org_id: str,
    since_ms: int,
    requested_by: str,
    at_ms: int,
) -> bool:
    """Write a request down; return whether it was new."""
    return await insert_if_new(
        session,
        ReconciliationRow,
        request_id=request_id,
        tenant_id=tenant_id,
        only_org_id=only_org_id,
        since_ms=since_ms,
        requested_by=requested_by,
        requested_at_ms=at_ms,
        finished_at_ms=0,
        report=None,
    )


async def one(session: AsyncSession, tenant_id: str, request_id: str) -> ReconciliationRow | None:
    query = select(ReconciliationRow).where(ReconciliationRow.tenant_id == tenant_id)
    return await session.scalar(query.where(ReconciliationRow.request_id == request_id))


async def page(
    session: AsyncSession, tenant_id: str, before: Place | None, limit: int
) -> Sequence[ReconciliationRow]:
    query = select(ReconciliationRow).where(ReconciliationRow.tenant_id == tenant_id)
    if before is not None:
        place = tuple_(ReconciliationRow.requested_at_ms, ReconciliationRow.request_id)
        query = query.where(place < before)
    order = (ReconciliationRow.requested_at_ms.desc(), ReconciliationRow.request_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def running_since(session: AsyncSession, tenant_id: str, after_ms: int) -> int:
    """Return when the newest unanswered request was made, if after that moment; 0: there is none."""
    query = select(func.max(ReconciliationRow.requested_at_ms)).where(
        ReconciliationRow.tenant_id == tenant_id,
        ReconciliationRow.finished_at_ms == 0,
        ReconciliationRow.requested_at_ms > after_ms,
    )
    return int(await session.scalar(query) or 0)


async def finish(session: AsyncSession, report: Reconciliation) -> bool:
    """Write down what came of a request; the first answer counts."""
    changed = await session.scalar(
        update(ReconciliationRow)
        .where(
            ReconciliationRow.request_id == report.request_id,
            ReconciliationRow.tenant_id == report.tenant_id,
            ReconciliationRow.finished_at_ms == 0,
        )
        .values(report=report, finished_at_ms=report.finished_at_ms)
        .returning(ReconciliationRow.request_id)
        .execution_options(synchronize_session=False)
    )
    return changed is not None


async def tenants_due(session: AsyncSession, before_ms: int) -> Sequence[str]:
    """Return the active tenants from before that moment that were not to be reconciled since."""
    lately = select(ReconciliationRow.tenant_id).where(
        ReconciliationRow.requested_at_ms > before_ms,
        ReconciliationRow.only_org_id == "",
        ReconciliationRow.since_ms == 0,
    )
    query = select(Tenant.tenant_id).where(
        Tenant.status == "active", Tenant.created_at_ms <= before_ms, Tenant.tenant_id.not_in(lately)
    )
    return (await session.scalars(query)).all()


async def prune(session: AsyncSession, before_ms: int) -> int:
    """Delete some reconciliations that were asked for before that moment; return how many."""
    old = select(ReconciliationRow.request_id).where(ReconciliationRow.requested_at_ms < before_ms)
    ids = (await session.scalars(old.limit(_PRUNED_AT_ONCE))).all()
    await session.execute(delete(ReconciliationRow).where(ReconciliationRow.request_id.in_(ids)))
    return len(ids)
