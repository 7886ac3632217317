"""Sealed secrets: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Secret


async def named(
    session: AsyncSession, tenant_id: str, org_id: str, name: str, *, lock: bool = False
) -> Secret | None:
    query = select(Secret).where(Secret.tenant_id == tenant_id, Secret.org_id == org_id, Secret.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def sealed_with_others(session: AsyncSession, fingerprint: str, limit: int) -> Sequence[Secret]:
    """Return some secrets that are not sealed with that key, locked."""
    query = (
        select(Secret)
        .where(Secret.sealed_with != fingerprint)
        .order_by(Secret.secret_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.scalars(query)).all()


async def delete(session: AsyncSession, secret: Secret) -> None:
    await session.delete(secret)


def add(session: AsyncSession, secret: Secret) -> None:
    session.add(secret)
