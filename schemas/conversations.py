"""What was said: turns of conversations, and what people thought of them. Wire form: `schemas.events`."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.events import EVENT_VERSION, Channel, Id, Name, RunStatus, ShortText, UnixMs, Version

#: What of a question or an answer is stored; what is longer is cut.
MAX_TURN_CHARS = 32_768
TurnText = Annotated[str, Meta(max_length=MAX_TURN_CHARS)]
Rating = Literal["up", "down"]


def conversation_key(
    tenant_id: str, org_id: str, instance_id: str, visitor: str, conversation_id: str
) -> str:
    """Return the id that a conversation is kept by. Whoever differs in any of these has another one."""
    whose = "\0".join((tenant_id, org_id, instance_id, visitor, conversation_id))
    return "conv_" + sha256(whose.encode()).hexdigest()[:40]


class CitedSource(Struct, frozen=True, kw_only=True):
    """A source that an answer rests on; `page` 0: it has no pages."""

    source_id: Id
    title: ShortText = ""
    section: ShortText = ""
    page: Annotated[int, Meta(ge=0)] = 0


class ConversationTurn(Struct, frozen=True, kw_only=True):
    """A question and its answer, personal data taken out (topic `conversations.turns`).

    A run has one turn. It may be seen twice; the first counts.
    """

    v: Version = EVENT_VERSION
    tenant_id: Id
    org_id: Id
    instance_id: Id
    run_id: Id
    conversation: Id
    channel: Channel
    model: Name
    status: RunStatus
    question: TurnText
    answer: TurnText
    citations: Annotated[list[CitedSource], Meta(max_length=20)] = []
    #: Whether personal data was looked for.
    redacted: bool
    started_at_ms: UnixMs
    occurred_at_ms: UnixMs


class FeedbackEvent(Struct, frozen=True, kw_only=True):
    """What somebody thought of a run's answer (topic `conversations.feedback`). The latest counts."""

    v: Version = EVENT_VERSION
    tenant_id: Id
    org_id: Id
    instance_id: Id
    run_id: Id
    rating: Rating
    comment: Annotated[str, Meta(max_length=2_000)] = ""
    occurred_at_ms: UnixMs
