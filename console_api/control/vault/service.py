"""Keeping, reading and forgetting secrets. Each call is a part of the caller's transaction."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control import audit
from console_api.control.vault import repository
from console_api.control.vault.seal import Seal
from console_api.database.tables import Secret
from kit.clock import new_id


async def keep(
    session: AsyncSession,
    seal: Seal,
    tenant_id: str,
    name: str,
    value: str,
    *,
    org_id: str = "",
    actor: str,
    at_ms: int,
) -> str:
    """Store a secret under its name, or replace it; return its id. No `org_id`: the tenant's own."""
    row = await repository.named(session, tenant_id, org_id, name, lock=True)
    if row is None:
        row = Secret(
            secret_id=new_id("secret"), tenant_id=tenant_id, org_id=org_id, name=name, created_at_ms=at_ms
        )
        repository.add(session, row)
    row.sealed, row.sealed_with, row.updated_at_ms = seal.close(row.secret_id, value), seal.fingerprint, at_ms
    audit.record(
        session,
        tenant_id=tenant_id,
        org_id=org_id,
        actor=actor,
        action="secret.keep",
        target=("secret", row.secret_id),
        at_ms=at_ms,
        name=name,
    )
    return row.secret_id


async def read(
    session: AsyncSession, seal: Seal, tenant_id: str, name: str, *, org_id: str = ""
) -> str | None:
    """Return a secret's value, `None` if there is none. Raises `CannotOpen`."""
    row = await repository.named(session, tenant_id, org_id, name)
    return None if row is None else seal.open(row.secret_id, row.sealed)


async def forget(
    session: AsyncSession, tenant_id: str, name: str, *, org_id: str = "", actor: str, at_ms: int
) -> bool:
    """Delete a secret; return whether it was there."""
    row = await repository.named(session, tenant_id, org_id, name, lock=True)
    if row is None:
        return False
    await repository.delete(session, row)
    audit.record(
        session,
        tenant_id=tenant_id,
        org_id=org_id,
        actor=actor,
        action="secret.forget",
        target=("secret", row.secret_id),
        at_ms=at_ms,
        name=name,
    )
    return True
