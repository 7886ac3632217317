"""Grants of a tenant: their SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Row, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Grant, GrantCommand, Org

#: Where a grant stands in the order of a list: `created_at_ms`, `grant_id`.
Place = tuple[int, str]


def _named(tenant_id: str) -> Select[Grant, str]:
    return select(Grant, Org.name).join(Org, Org.org_id == Grant.org_id).where(Grant.tenant_id == tenant_id)


async def one(session: AsyncSession, tenant_id: str, grant_id: str) -> Row[Grant, str] | None:
    """Return a grant with the name of its org."""
    found = await session.execute(_named(tenant_id).where(Grant.grant_id == grant_id))
    return found.one_or_none()


async def page(
    session: AsyncSession, tenant_id: str, org_id: str, before: Place | None, limit: int
) -> Sequence[Row[Grant, str]]:
    """Return grants, newest first; an empty `org_id` is all orgs."""
    query = _named(tenant_id)
    if org_id:
        query = query.where(Grant.org_id == org_id)
    if before is not None:
        query = query.where(tuple_(Grant.created_at_ms, Grant.grant_id) < before)
    query = query.order_by(Grant.created_at_ms.desc(), Grant.grant_id.desc()).limit(limit)
    return (await session.execute(query)).all()


async def commands(session: AsyncSession, grant_ids: Sequence[str]) -> Mapping[str, Sequence[GrantCommand]]:
    """Return what was done to each grant, in order."""
    found: defaultdict[str, list[GrantCommand]] = defaultdict(list)
    query = select(GrantCommand).where(GrantCommand.grant_id.in_(grant_ids))
    for command in await session.scalars(query.order_by(GrantCommand.created_at_ms)):
        found[command.grant_id].append(command)
    return found
