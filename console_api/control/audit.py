"""The audit log: who did what. Called in the transaction of the change itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import AuditEntry
from kit.clock import new_id


def record(
    session: AsyncSession,
    *,
    tenant_id: str,
    org_id: str,
    actor: str,
    action: str,
    target: tuple[str, str],
    at_ms: int,
    **details: Any,
) -> None:
    """Add one entry; `target` is a kind and an id. Never pass a credential in `details`."""
    session.add(
        AuditEntry(
            audit_id=new_id("audit"),
            tenant_id=tenant_id,
            org_id=org_id,
            actor=actor,
            action=action,
            target_kind=target[0],
            target_id=target[1],
            details=details,
            at_ms=at_ms,
        )
    )
