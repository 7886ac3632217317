"""Sealed secrets: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Connector, Instance, Secret


async def named(
    session: AsyncSession, tenant_id: str, org_id: str, name: str, *, lock: bool = False
) -> Secret | None:
    query = select(Secret).where(Secret.tenant_id == tenant_id, Secret.org_id == org_id, Secret.name == name)
    return await session.scalar(query.with_for_update() if lock else query)


async def sealed_with_others(
    session: AsyncSession, fingerprint: str, limit: int, after: str
) -> Sequence[Secret]:
    """Return some secrets that are not sealed with that key, after an id, locked."""
    query = (
        select(Secret)
        .where(Secret.sealed_with != fingerprint, Secret.secret_id > after)
        .order_by(Secret.secret_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.scalars(query)).all()


async def count_of_others(session: AsyncSession, fingerprint: str) -> int:
    """Return how many secrets are not sealed with that key."""
    query = select(func.count()).select_from(Secret).where(Secret.sealed_with != fingerprint)
    return int(await session.scalar(query) or 0)


async def instances_of(session: AsyncSession, secret_ids: Sequence[str]) -> Sequence[Instance]:
    """Return the instances whose connectors use one of these secrets, locked."""
    if not secret_ids:
        return []
    using = select(Connector.instance_id).where(Connector.secret_id.in_(secret_ids))
    query = select(Instance).where(Instance.instance_id.in_(using)).order_by(Instance.instance_id)
    return (await session.scalars(query.with_for_update())).all()


async def delete(session: AsyncSession, secret: Secret) -> None:
    await session.delete(secret)


def add(session: AsyncSession, secret: Secret) -> None:
    session.add(secret)
