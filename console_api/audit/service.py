"""Pages of the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.audit.models import Entry, Page
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.database.tables import AuditEntry


@dataclass(frozen=True)
class Filter:
    """Which entries; what is empty or 0 does not matter. `action` may be how one begins, as `api_key`."""

    actor: str = ""
    action: str = ""
    target_id: str = ""
    from_ms: int = 0
    to_ms: int = 0


async def page(
    session: AsyncSession, principal: Principal, wanted: Filter, limit: int, cursor: str | None
) -> Page:
    """Return a page of what the caller's org did, or the tenant, for whoever speaks for it. `Forbidden`."""
    roles.require(principal, "admin", "To read the audit log")
    query = select(AuditEntry).where(AuditEntry.tenant_id == principal.tenant_id)
    if principal.org_id:
        query = query.where(AuditEntry.org_id == principal.org_id)
    if wanted.actor:
        query = query.where(AuditEntry.actor == wanted.actor)
    if wanted.action:
        query = query.where(AuditEntry.action.startswith(wanted.action, autoescape=True))
    if wanted.target_id:
        query = query.where(AuditEntry.target_id == wanted.target_id)
    if wanted.from_ms:
        query = query.where(AuditEntry.at_ms >= wanted.from_ms)
    if wanted.to_ms:
        query = query.where(AuditEntry.at_ms < wanted.to_ms)
    if cursor:
        query = query.where(
            tuple_(AuditEntry.at_ms, AuditEntry.audit_id) < cursors.decode(cursor, tuple[int, str])
        )
    query = query.order_by(AuditEntry.at_ms.desc(), AuditEntry.audit_id.desc()).limit(limit + 1)
    rows = (await session.scalars(query)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        entries=[_entry(row) for row in rows[:limit]],
        next_cursor=cursors.encode((last.at_ms, last.audit_id)) if last else None,
    )


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        audit_id=row.audit_id,
        org_id=row.org_id,
        actor=row.actor,
        action=row.action,
        target_kind=row.target_kind,
        target_id=row.target_id,
        details=row.details,
        at_ms=row.at_ms,
    )
