"""An instance as its owner's data hold it, for what changes things of it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.auth.models import Principal
from console_api.database.tables import Instance
from kit.problems import NotFound


async def own_instance(
    session: AsyncSession, principal: Principal, instance_id: str, *, lock: bool = False
) -> Instance:
    """Return an instance of the caller's org, of any of the tenant's for a caller without one.

    Raises `NotFound`: a foreign one is not told from one that does not exist.
    """
    query = select(Instance).where(
        Instance.instance_id == instance_id, Instance.tenant_id == principal.tenant_id
    )
    if principal.org_id:
        query = query.where(Instance.org_id == principal.org_id)
    found = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFound("There is no such instance in your org; list yours at /api/v1/account/instances.")
    return found
