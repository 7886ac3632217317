"""What belongs to instances that have ended: its SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.tables import Connector, Conversation, Instance, KnowledgeSource


async def connectors(session: AsyncSession, limit: int) -> Sequence[tuple[Connector, Instance]]:
    """Return some connectors of ended instances, with those, locked."""
    query = (
        select(Connector, Instance)
        .join(Instance, Instance.instance_id == Connector.instance_id)
        .where(Instance.status == "ended")
        .order_by(Connector.instance_id, Connector.connector_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row, instance) for row, instance in (await session.execute(query)).all()]


async def sources(session: AsyncSession, before_ms: int, limit: int) -> Sequence[KnowledgeSource]:
    """Return some sources of instances that ended before that time, locked, but those being deleted."""
    query = (
        select(KnowledgeSource)
        .join(Instance, Instance.instance_id == KnowledgeSource.instance_id)
        .where(
            Instance.status == "ended",
            Instance.updated_at_ms <= before_ms,
            KnowledgeSource.deleted_at_ms == 0,
        )
        .order_by(KnowledgeSource.source_id)
        .limit(limit)
        .with_for_update(of=KnowledgeSource, skip_locked=True)
    )
    return (await session.scalars(query)).all()


async def conversations(session: AsyncSession, before_ms: int, limit: int) -> Sequence[str]:
    """Return the ids of some conversations with instances that ended before that time, locked."""
    query = (
        select(Conversation)
        .join(Instance, Instance.instance_id == Conversation.instance_id)
        .where(Instance.status == "ended", Instance.updated_at_ms <= before_ms)
        .order_by(Conversation.conversation_id)
        .limit(limit)
        .with_for_update(of=Conversation, skip_locked=True)
    )
    return [row.conversation_id for row in await session.scalars(query)]
