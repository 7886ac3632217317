"""Conversations: their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from console_api.database.statements import insert_if_new
from console_api.database.tables import Conversation, Instance, Turn

MAX_TURNS = 500
#: How many answers were rated so, by conversation and rating.
Thumbs = dict[tuple[str, str], int]


async def instance_is(session: AsyncSession, tenant_id: str, org_id: str, instance_id: str) -> bool:
    """Return whether the instance is that org's."""
    query = select(Instance.instance_id).where(
        Instance.instance_id == instance_id, Instance.tenant_id == tenant_id, Instance.org_id == org_id
    )
    return await session.scalar(query) is not None


async def add_conversation(session: AsyncSession, **values: Any) -> bool:
    return await insert_if_new(session, Conversation, **values)


async def add_turn(session: AsyncSession, **values: Any) -> bool:
    return await insert_if_new(session, Turn, **values)


async def conversation(
    session: AsyncSession, conversation_id: str, *, lock: bool = False
) -> Conversation | None:
    query = select(Conversation).where(Conversation.conversation_id == conversation_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def page(
    session: AsyncSession,
    instance_id: str,
    now_ms: int,
    *,
    after: tuple[int, str] | None,
    rating: str | None,
    limit: int,
) -> Sequence[Conversation]:
    """Return an instance's conversations, the latest first, after a place in that order."""
    query = select(Conversation).where(
        Conversation.instance_id == instance_id, Conversation.turns > 0, Conversation.expires_at_ms > now_ms
    )
    if after is not None:
        query = query.where(tuple_(Conversation.last_at_ms, Conversation.conversation_id) < after)
    if rating is not None:
        rated = (Turn.conversation_id == Conversation.conversation_id, Turn.rating == rating)
        query = query.where(select(Turn.run_id).where(*rated).exists())
    order = (Conversation.last_at_ms.desc(), Conversation.conversation_id.desc())
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


async def turns(session: AsyncSession, conversation_id: str) -> Sequence[Turn]:
    """Return what was said, oldest first."""
    query = (
        select(Turn)
        .where(Turn.conversation_id == conversation_id)
        .order_by(Turn.started_at_ms, Turn.run_id)
        .limit(MAX_TURNS)
    )
    return (await session.scalars(query)).all()


async def thumbs(session: AsyncSession, conversation_ids: Sequence[str]) -> Thumbs:
    """Return how often answers of some conversations were rated; what nobody rated is not there."""
    query = (
        select(Turn.conversation_id, Turn.rating, func.count())
        .where(Turn.conversation_id.in_(conversation_ids), Turn.rating != "")
        .group_by(Turn.conversation_id, Turn.rating)
    )
    return {(whose, rating): count for whose, rating, count in (await session.execute(query)).all()}


async def delete_turns(session: AsyncSession, conversation_id: str) -> None:
    await session.execute(delete(Turn).where(Turn.conversation_id == conversation_id))


async def forget(session: AsyncSession, conversation_ids: Sequence[str]) -> None:
    """Delete these conversations, with what was said in them."""
    await session.execute(delete(Turn).where(Turn.conversation_id.in_(conversation_ids)))
    await session.execute(delete(Conversation).where(Conversation.conversation_id.in_(conversation_ids)))


async def rate(
    session: AsyncSession, whose: tuple[str, str, str], run_id: str, *, rating: str, comment: str, at_ms: int
) -> bool:
    """Note what somebody thought of a run; `whose`: tenant, org and instance. Older words change nothing."""
    tenant_id, org_id, instance_id = whose
    result = await session.execute(
        update(Turn)
        .where(
            Turn.run_id == run_id,
            Turn.tenant_id == tenant_id,
            Turn.org_id == org_id,
            Turn.instance_id == instance_id,
            Turn.rated_at_ms <= at_ms,
        )
        .values(rating=rating, comment=comment, rated_at_ms=at_ms)
    )
    return cast("CursorResult[Any]", result).rowcount == 1


async def purge(session: AsyncSession, now_ms: int, limit: int) -> int:
    """Delete some turns and conversations whose time is over; return how many."""
    old_turns = select(Turn.run_id).where(Turn.expires_at_ms <= now_ms).limit(limit)
    gone = await session.execute(delete(Turn).where(Turn.run_id.in_(old_turns)))
    still = select(func.count()).where(Turn.conversation_id == Conversation.conversation_id).scalar_subquery()
    old = select(Conversation.conversation_id).where(Conversation.expires_at_ms <= now_ms, still == 0)
    ended = await session.execute(
        delete(Conversation).where(Conversation.conversation_id.in_(old.limit(limit)))
    )
    return cast("CursorResult[Any]", gone).rowcount + cast("CursorResult[Any]", ended).rowcount
