"""Orgs: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, Select, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Instance, Membership, Org

#: Where an org stands in the order of a list: `created_at_ms`, `org_id`.
Place = tuple[int, str]


def _counted() -> Select[Org, int, int]:
    members = select(func.count()).where(Membership.org_id == Org.org_id).scalar_subquery()
    instances = select(func.count()).where(Instance.org_id == Org.org_id).scalar_subquery()
    return select(Org, members, instances)


async def one(session: AsyncSession, tenant_id: str, org_id: str) -> Row[Org, int, int] | None:
    """Return an org with how many members and instances it has."""
    found = await session.execute(_counted().where(Org.tenant_id == tenant_id, Org.org_id == org_id))
    return found.one_or_none()


async def page(
    session: AsyncSession, tenant_id: str, search: str, before: Place | None, limit: int
) -> Sequence[Row[Org, int, int]]:
    """Return a tenant's orgs, newest first; `search` matches a part of the name, or an id."""
    query = _counted().where(Org.tenant_id == tenant_id)
    if search:
        part = Org.name.icontains(search, autoescape=True)
        query = query.where(or_(part, Org.org_id == search, Org.external_id == search))
    if before is not None:
        query = query.where(tuple_(Org.created_at_ms, Org.org_id) < before)
    query = query.order_by(Org.created_at_ms.desc(), Org.org_id.desc()).limit(limit)
    return (await session.execute(query)).all()


async def rename(session: AsyncSession, org_id: str, name: str) -> None:
    await session.execute(update(Org).where(Org.org_id == org_id).values(name=name))


async def owned(session: AsyncSession, user_id: str) -> int:
    """Return in how many orgs a user is an owner."""
    query = select(func.count()).where(Membership.user_id == user_id, Membership.role == "owner")
    return int(await session.scalar(query) or 0)
