"""Definitions of meters, in the control plane's database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import MeterDefinition


def add(session: AsyncSession, row: MeterDefinition) -> None:
    session.add(row)


async def one(session: AsyncSession, tenant_id: str, slug: str) -> MeterDefinition | None:
    return await session.get(MeterDefinition, (tenant_id, slug))


async def every(session: AsyncSession, tenant_id: str) -> Sequence[MeterDefinition]:
    """Return a tenant's definitions by slug; `service.MAX_METERS` bounds them."""
    query = select(MeterDefinition).where(MeterDefinition.tenant_id == tenant_id)
    return (await session.scalars(query.order_by(MeterDefinition.slug))).all()


async def count(session: AsyncSession, tenant_id: str) -> int:
    query = select(func.count()).select_from(MeterDefinition).where(MeterDefinition.tenant_id == tenant_id)
    return await session.scalar(query) or 0


async def remove(session: AsyncSession, tenant_id: str, slug: str) -> bool:
    """Delete a definition; return whether it was there."""
    query = delete(MeterDefinition).where(
        MeterDefinition.tenant_id == tenant_id, MeterDefinition.slug == slug
    )
    return bool((await session.execute(query.returning(MeterDefinition.slug))).all())
