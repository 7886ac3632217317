"""Knowledge sources: their SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.catalogue.terms import KnowledgeQuota
from console_api.database.tables import Instance, KnowledgeSource, Plan


def add(session: AsyncSession, row: KnowledgeSource) -> None:
    session.add(row)


async def page(
    session: AsyncSession, instance_id: str, after: tuple[int, str] | None, limit: int
) -> Sequence[KnowledgeSource]:
    """Return sources of an instance that are not deleted, newest first, after a place in that order."""
    query = select(KnowledgeSource).where(
        KnowledgeSource.instance_id == instance_id, KnowledgeSource.status != "deleted"
    )
    if after is not None:
        query = query.where(tuple_(KnowledgeSource.created_at_ms, KnowledgeSource.source_id) < after)
    order = (KnowledgeSource.created_at_ms.desc(), KnowledgeSource.source_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def used(session: AsyncSession, instance_id: str) -> tuple[int, int]:
    """Return how many sources an instance has, and their bytes."""
    row = (
        await session.execute(
            select(func.count(), func.coalesce(func.sum(KnowledgeSource.size_bytes), 0)).where(
                KnowledgeSource.instance_id == instance_id, KnowledgeSource.deleted_at_ms == 0
            )
        )
    ).one()
    return int(row[0]), int(row[1])


async def source(
    session: AsyncSession, instance_id: str, source_id: str, *, lock: bool = False
) -> KnowledgeSource | None:
    """Return a source of the instance unless it is gone."""
    query = select(KnowledgeSource).where(
        KnowledgeSource.source_id == source_id,
        KnowledgeSource.instance_id == instance_id,
        KnowledgeSource.status != "deleted",
    )
    return await session.scalar(query.with_for_update() if lock else query)


async def any_source(session: AsyncSession, source_id: str) -> KnowledgeSource | None:
    """Return a source by its id, locked, whatever became of it."""
    query = select(KnowledgeSource).where(KnowledgeSource.source_id == source_id)
    return await session.scalar(query.with_for_update())


async def quota(session: AsyncSession, plan_id: str) -> KnowledgeQuota:
    """Return what a plan allows."""
    found = await session.scalar(select(Plan.entitlements).where(Plan.plan_id == plan_id))
    return found.knowledge if found else KnowledgeQuota()


async def due(session: AsyncSession, now_ms: int, limit: int) -> Sequence[tuple[KnowledgeSource, Instance]]:
    """Return sources whose time to be read anew has come, locked, and their instances.

    Those of a suspended instance wait until it is active again.
    """
    return await _waiting(
        session, limit, KnowledgeSource.next_sync_ms > 0, KnowledgeSource.next_sync_ms <= now_ms
    )


async def of_other_models(
    session: AsyncSession, model: str, limit: int
) -> Sequence[tuple[KnowledgeSource, Instance]]:
    """Return sources embedded with another model that were not asked for with this one, as `due` does."""
    return await _waiting(
        session,
        limit,
        KnowledgeSource.model.not_in(("", model)),
        KnowledgeSource.asked_model != model,
    )


async def _waiting(
    session: AsyncSession, limit: int, *where: ColumnElement[bool]
) -> Sequence[tuple[KnowledgeSource, Instance]]:
    query = (
        select(KnowledgeSource, Instance)
        .join(Instance, Instance.instance_id == KnowledgeSource.instance_id)
        .where(*where, Instance.status != "suspended")
        .where(KnowledgeSource.status.in_(("ready", "failed")), KnowledgeSource.deleted_at_ms == 0)
        .order_by(KnowledgeSource.source_id)
        .limit(limit)
        .with_for_update(of=KnowledgeSource, skip_locked=True)
    )
    return [(row, owner) for row, owner in (await session.execute(query)).all()]
