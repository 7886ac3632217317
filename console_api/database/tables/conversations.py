"""Transcripts: what was said in conversations, for as long as they are kept."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from console_api.database.base import Base, Id, LongText, Ms, Name, Typed, Word
from schemas.conversations import CitedSource

Citations = tuple[CitedSource, ...]


class Conversation(Base):
    """A conversation of an instance. A deleted one stays, empty, until no turn of before can come late."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index(None, "instance_id", "last_at_ms", "conversation_id"),
        Index(None, "expires_at_ms"),
    )

    #: `schemas.conversations.conversation_key`, or its only run's id.
    conversation_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.tenant_id"))
    org_id: Mapped[Id] = mapped_column(ForeignKey("orgs.org_id"))
    instance_id: Mapped[Id] = mapped_column(ForeignKey("instances.instance_id"))
    channel: Mapped[Word]
    #: How the first question begins.
    title: Mapped[Name] = mapped_column(default="")
    turns: Mapped[int] = mapped_column(default=0)
    first_at_ms: Mapped[Ms]
    last_at_ms: Mapped[Ms]
    expires_at_ms: Mapped[Ms]
    #: Turns that began up to then are not taken in any more.
    deleted_at_ms: Mapped[Ms] = mapped_column(default=0)


class Turn(Base):
    """A question and its answer. `rating`: what somebody thought of it, if anybody said."""

    __tablename__ = "conversation_turns"
    __table_args__ = (
        Index(None, "conversation_id", "started_at_ms", "run_id"),
        Index(None, "expires_at_ms"),
    )

    run_id: Mapped[Id] = mapped_column(primary_key=True)
    conversation_id: Mapped[Id] = mapped_column(ForeignKey("conversations.conversation_id"))
    tenant_id: Mapped[Id]
    org_id: Mapped[Id]
    instance_id: Mapped[Id]
    model: Mapped[Name]
    status: Mapped[Word]
    question: Mapped[LongText]
    answer: Mapped[LongText]
    citations: Mapped[Citations] = mapped_column(Typed(Citations))
    redacted: Mapped[bool]
    started_at_ms: Mapped[Ms]
    occurred_at_ms: Mapped[Ms]
    expires_at_ms: Mapped[Ms]
    rating: Mapped[Word] = mapped_column(default="")
    comment: Mapped[LongText] = mapped_column(default="")
    rated_at_ms: Mapped[Ms] = mapped_column(default=0)
