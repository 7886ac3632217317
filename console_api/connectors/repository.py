"""Connectors: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Connector


def add(session: AsyncSession, row: Connector) -> None:
    session.add(row)


async def delete(session: AsyncSession, row: Connector) -> None:
    await session.delete(row)


async def of_instance(session: AsyncSession, instance_id: str) -> Sequence[Connector]:
    """Return an instance's connectors, oldest first; there is a limit to them."""
    query = (
        select(Connector)
        .where(Connector.instance_id == instance_id)
        .order_by(Connector.created_at_ms, Connector.connector_id)
    )
    return (await session.scalars(query)).all()


async def count(session: AsyncSession, instance_id: str) -> int:
    query = select(func.count()).select_from(Connector).where(Connector.instance_id == instance_id)
    return int(await session.scalar(query) or 0)


async def connector(
    session: AsyncSession, instance_id: str, connector_id: str, *, lock: bool = False
) -> Connector | None:
    query = select(Connector).where(
        Connector.connector_id == connector_id, Connector.instance_id == instance_id
    )
    return await session.scalar(query.with_for_update() if lock else query)
