"""API keys: their SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.control.projections.repository import stopped
from console_api.database.tables import ApiKey, Instance, InstanceConfig, Org, Plan, Tenant


def add(session: AsyncSession, row: ApiKey) -> None:
    session.add(row)


async def page(
    session: AsyncSession, instance_id: str, after: tuple[int, str] | None, limit: int
) -> Sequence[ApiKey]:
    """Return keys of an instance, newest first, that come after a place in that order."""
    query = select(ApiKey).where(ApiKey.instance_id == instance_id)
    if after is not None:
        query = query.where(tuple_(ApiKey.created_at_ms, ApiKey.key_id) < after)
    order = (ApiKey.created_at_ms.desc(), ApiKey.key_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def count_live(session: AsyncSession, instance_id: str, now_ms: int) -> int:
    """Return how many keys of the instance are neither revoked nor expired."""
    found = await session.scalar(
        select(func.count()).where(
            ApiKey.instance_id == instance_id,
            ApiKey.revoked_at_ms == 0,
            or_(ApiKey.expires_at_ms == 0, ApiKey.expires_at_ms > now_ms),
        )
    )
    return found or 0


async def locked_key(session: AsyncSession, instance_id: str, key_id: str) -> ApiKey | None:
    return await session.scalar(
        select(ApiKey).where(ApiKey.instance_id == instance_id, ApiKey.key_id == key_id).with_for_update()
    )


async def was_rotated(session: AsyncSession, key_id: str) -> bool:
    found = await session.scalar(select(ApiKey.key_id).where(ApiKey.rotated_from == key_id))
    return found is not None


async def by_digest(
    session: AsyncSession, digest: str
) -> tuple[ApiKey, Instance, InstanceConfig, Plan, bool] | None:
    """Return a key, its instance, its terms, whether its org is suspended. Always the same one query."""
    row = (
        await session.execute(
            select(ApiKey, Instance, InstanceConfig, Plan, stopped())
            .join(Instance, Instance.instance_id == ApiKey.instance_id)
            .join(InstanceConfig, InstanceConfig.instance_id == Instance.instance_id)
            .join(Plan, Plan.plan_id == Instance.plan_id)
            .join(Org, Org.org_id == Instance.org_id)
            .join(Tenant, Tenant.tenant_id == Instance.tenant_id)
            .where(ApiKey.digest == digest)
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1], row[2], row[3], row[4])


async def note_last_used(session: AsyncSession, used: Mapping[str, int]) -> None:
    """Move the last use of keys forward, by their ids (Unix ms)."""
    if not used:
        return
    connection = await session.connection()
    await connection.execute(
        update(ApiKey.__table__)  # type: ignore[arg-type]
        .where(ApiKey.key_id == bindparam("of"), ApiKey.last_used_at_ms < bindparam("at_ms"))
        .values(last_used_at_ms=bindparam("at_ms")),
        # In one order, so that two of these never wait for each other.
        [{"of": key_id, "at_ms": at_ms} for key_id, at_ms in sorted(used.items())],
    )
