"""What visitors asked an instance, what it answered, and what they thought of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from console.api import Call
from console.calls.paging import paged
from console.visitor import Visitor, part

#: How many the first page shows, and each further one.
AT_ONCE = 25


class Conversation(Struct, frozen=True):
    """A conversation, without what was said."""

    conversation_id: str
    channel: str
    title: str
    turns: int
    thumbs_up: int
    thumbs_down: int
    first_at_ms: int
    last_at_ms: int
    expires_at_ms: int


class ConversationPage(Struct, frozen=True):
    """Conversations, the latest first; `retention_days` 0: none are kept."""

    conversations: tuple[Conversation, ...]
    next_cursor: str | None
    retention_days: int


class Citation(Struct, frozen=True):
    """A source that an answer rests on; `page` 0: it has no pages."""

    source_id: str
    title: str
    section: str
    page: int


class Feedback(Struct, frozen=True):
    """What somebody thought of an answer."""

    rating: Literal["up", "down"]
    comment: str
    at_ms: int


class Turn(Struct, frozen=True):
    """A question and its answer."""

    run_id: str
    status: str
    question: str
    answer: str
    citations: tuple[Citation, ...]
    redacted: bool
    started_at_ms: int
    feedback: Feedback | None


class Transcript(Conversation, frozen=True, kw_only=True):
    """A conversation with what was said, as far as the API shows it."""

    transcript: tuple[Turn, ...]


def _path(instance_id: str, conversation_id: str = "") -> str:
    base = f"/instances/{part(instance_id)}/conversations"
    return f"{base}/{part(conversation_id)}" if conversation_id else base


async def conversations(
    visitor: Visitor, instance_id: str, cursor: str | None = None, rating: str = ""
) -> ConversationPage:
    query = {**paged(cursor, AT_ONCE), **({"rating": rating} if rating else {})}
    return await visitor.get(_path(instance_id), ConversationPage, query)


async def transcript(visitor: Visitor, instance_id: str, conversation_id: str) -> Transcript:
    return await visitor.get(_path(instance_id, conversation_id), Transcript)


async def delete(visitor: Visitor, instance_id: str, conversation_id: str) -> None:
    await visitor.call(Call("DELETE", _path(instance_id, conversation_id)))
