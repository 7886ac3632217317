"""Top-ups: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Plan, TopUp


def add(session: AsyncSession, row: TopUp) -> None:
    session.add(row)


async def one(session: AsyncSession, org_id: str, *, lock: bool = False) -> TopUp | None:
    query = select(TopUp).where(TopUp.org_id == org_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def due(session: AsyncSession, now_ms: int, after: str, limit: int) -> Sequence[str]:
    """Return orgs whose wallet is to be looked at, by id."""
    found = await session.scalars(
        select(TopUp.org_id)
        .where(TopUp.enabled.is_(True), TopUp.next_try_at_ms <= now_ms, TopUp.org_id > after)
        .order_by(TopUp.org_id)
        .limit(limit)
    )
    return found.all()


async def plan(session: AsyncSession, plan_id: str) -> Plan:
    found = await session.get(Plan, plan_id)
    assert found is not None
    return found
