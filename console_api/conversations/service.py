"""Reading and deleting conversations."""

from __future__ import annotations

import logging
from typing import cast

import msgspec
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from console_api import cursors
from console_api.auth import roles
from console_api.auth.models import Principal
from console_api.control import audit
from console_api.conversations import repository
from console_api.conversations.models import (
    CitationView,
    ConversationPage,
    ConversationView,
    FeedbackView,
    Transcript,
    TurnView,
)
from console_api.conversations.running import Conversations
from console_api.database.tables import Conversation, Turn
from console_api.instances.owned import own_instance
from kit.problems import NotFound, Unavailable
from schemas import keys
from schemas.conversations import Rating
from schemas.topics import DAY_MS

log = logging.getLogger(__name__)


async def page(
    session: AsyncSession,
    conversations: Conversations,
    principal: Principal,
    instance_id: str,
    *,
    limit: int,
    cursor: str | None,
    rating: Rating | None,
    now_ms: int,
) -> ConversationPage:
    """Return a page of an instance's conversations, the latest first. Raises `NotFound`.

    `rating`: only those with an answer rated so.
    """
    await own_instance(session, principal, instance_id)
    after = cursors.decode(cursor, tuple[int, str]) if cursor else None
    rows = await repository.page(session, instance_id, now_ms, after=after, rating=rating, limit=limit + 1)
    shown = rows[:limit]
    thumbs = await repository.thumbs(session, [row.conversation_id for row in shown])
    last = (shown[-1].last_at_ms, shown[-1].conversation_id) if len(rows) > limit else None
    return ConversationPage(
        conversations=[_view(row, thumbs) for row in shown],
        next_cursor=cursors.encode(last) if last else None,
        retention_days=conversations.settings.retention_days,
    )


async def one(
    session: AsyncSession, principal: Principal, instance_id: str, conversation_id: str, now_ms: int
) -> Transcript:
    """Return what was said in a conversation. Raises `NotFound`."""
    await own_instance(session, principal, instance_id)
    row = await _conversation(session, instance_id, conversation_id, now_ms)
    said = await repository.turns(session, conversation_id)
    thumbs = await repository.thumbs(session, [conversation_id])
    return Transcript(**_view(row, thumbs).model_dump(), transcript=[_turn(turn) for turn in said])


async def delete(
    session: AsyncSession,
    conversations: Conversations,
    principal: Principal,
    instance_id: str,
    *,
    conversation_id: str,
    now_ms: int,
) -> None:
    """Delete what was said, what the conversation remembers, and what comes late.

    Its memory goes first: if that cannot be reached, nothing is deleted and the caller is told to try again.
    """
    roles.require(principal, "member", "To delete a conversation")
    await own_instance(session, principal, instance_id)
    row = await _conversation(session, instance_id, conversation_id, now_ms, lock=True)
    try:
        await conversations.redis.delete(keys.conversation(instance_id, conversation_id))
    except RedisError as error:
        log.warning("a conversation cannot be forgotten", extra={"error": repr(error)})
        raise Unavailable("Try again in a few seconds.", headers={"Retry-After": "5"}) from error
    await repository.delete_turns(session, conversation_id)
    row.title, row.turns, row.deleted_at_ms = "", 0, now_ms
    # As long as Kafka may still bring a turn of before.
    row.expires_at_ms = now_ms + 8 * DAY_MS
    audit.record(
        session,
        tenant_id=row.tenant_id,
        org_id=row.org_id,
        actor=principal.subject,
        action="conversation.delete",
        target=("conversation", conversation_id),
        at_ms=now_ms,
        instance_id=instance_id,
    )


async def _conversation(
    session: AsyncSession, instance_id: str, conversation_id: str, now_ms: int, *, lock: bool = False
) -> Conversation:
    row = await repository.conversation(session, conversation_id, lock=lock)
    if row is None or row.instance_id != instance_id or not row.turns or row.expires_at_ms <= now_ms:
        raise NotFound("The instance has no such conversation; it may have been deleted.")
    return row


def _view(row: Conversation, thumbs: repository.Thumbs) -> ConversationView:
    return ConversationView(
        conversation_id=row.conversation_id,
        channel=row.channel,
        title=row.title,
        turns=row.turns,
        thumbs_up=thumbs.get((row.conversation_id, "up"), 0),
        thumbs_down=thumbs.get((row.conversation_id, "down"), 0),
        first_at_ms=row.first_at_ms,
        last_at_ms=row.last_at_ms,
        expires_at_ms=row.expires_at_ms,
    )


def _turn(row: Turn) -> TurnView:
    rated = (
        FeedbackView(rating=cast(Rating, row.rating), comment=row.comment, at_ms=row.rated_at_ms)
        if row.rating
        else None
    )
    return TurnView(
        run_id=row.run_id,
        status=row.status,
        model=row.model,
        question=row.question,
        answer=row.answer,
        citations=[CitationView.model_validate(msgspec.structs.asdict(source)) for source in row.citations],
        redacted=row.redacted,
        started_at_ms=row.started_at_ms,
        feedback=rated,
    )
