"""Dead letters: all of their SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from console_api.database.statements import insert_if_new
from console_api.database.tables import DeadLetterRow, Org, Tenant

#: Where a letter stands in the order of a list: `recorded_at_ms`, `letter_id`.
Place = tuple[int, str]
_PRUNED_AT_ONCE = 1_000


async def tenants_of(session: AsyncSession, org_ids: Sequence[str]) -> Mapping[str, str]:
    """Return whose orgs these are; what is no org is left out."""
    rows = await session.execute(select(Org.org_id, Org.tenant_id).where(Org.org_id.in_(org_ids)))
    return {org_id: tenant_id for org_id, tenant_id in rows}  # noqa: C416 - rows are no pairs


async def is_only_tenant(session: AsyncSession) -> bool:
    return (await session.scalar(select(func.count()).select_from(Tenant)) or 0) <= 1


async def add(session: AsyncSession, row: DeadLetterRow) -> bool:
    """Write a letter down; return whether it was new."""
    columns = DeadLetterRow.__table__.columns.keys()
    given = {name: getattr(row, name) for name in columns if name in row.__dict__}
    return await insert_if_new(session, DeadLetterRow, **given)


def _of(tenant_id: str, *, alone: bool) -> ColumnElement[bool]:
    """What belongs to no org is the only tenant's, or nobody's."""
    mine = DeadLetterRow.tenant_id == tenant_id
    return or_(mine, DeadLetterRow.tenant_id == "") if alone else mine


async def page(
    session: AsyncSession,
    tenant_id: str,
    *,
    alone: bool,
    topic: str,
    reason: str,
    waiting: bool,
    before: Place | None,
    limit: int,
) -> Sequence[DeadLetterRow]:
    """Return letters without their bytes, newest first."""
    query = select(DeadLetterRow).where(_of(tenant_id, alone=alone)).options(defer(DeadLetterRow.value))
    if topic:
        query = query.where(DeadLetterRow.topic == topic)
    if reason:
        query = query.where(DeadLetterRow.reason == reason)
    if waiting:
        query = query.where(DeadLetterRow.replays == 0)
    place = tuple_(DeadLetterRow.recorded_at_ms, DeadLetterRow.letter_id)
    if before is not None:
        query = query.where(place < before)
    order = (DeadLetterRow.recorded_at_ms.desc(), DeadLetterRow.letter_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def reasons(
    session: AsyncSession, tenant_id: str, *, alone: bool, limit: int
) -> Sequence[tuple[str, str, int, int]]:
    """Return topic, reason, how many letters, and how many of them were never replayed."""
    columns = (DeadLetterRow.topic, DeadLetterRow.reason)
    waiting = func.count().filter(DeadLetterRow.replays == 0)
    query = select(*columns, func.count(), waiting).where(_of(tenant_id, alone=alone)).group_by(*columns)
    rows = await session.execute(query.order_by(func.count().desc(), *columns).limit(limit))
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def one(
    session: AsyncSession, tenant_id: str, letter_id: str, *, alone: bool, lock: bool = False
) -> DeadLetterRow | None:
    query = select(DeadLetterRow).where(_of(tenant_id, alone=alone), DeadLetterRow.letter_id == letter_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def prune(session: AsyncSession, before_ms: int, keep: int) -> int:
    """Delete some letters from before that moment or beyond the newest so many; return how many."""
    order = (DeadLetterRow.recorded_at_ms.desc(), DeadLetterRow.letter_id.desc())
    surplus = select(DeadLetterRow.letter_id).order_by(*order).offset(keep).limit(_PRUNED_AT_ONCE)
    old = select(DeadLetterRow.letter_id).where(DeadLetterRow.recorded_at_ms < before_ms)
    gone = 0
    for which in (old.limit(_PRUNED_AT_ONCE), surplus):
        ids = (await session.scalars(which)).all()
        await session.execute(delete(DeadLetterRow).where(DeadLetterRow.letter_id.in_(ids)))
        gone += len(ids)
    return gone
