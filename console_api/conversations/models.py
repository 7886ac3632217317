"""Conversations on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ConversationView(BaseModel):
    """A conversation, without what was said."""

    conversation_id: str = Field(examples=["conv_7d1f"])
    channel: str = Field(examples=["widget"])
    title: str = Field(description="How the first question begins")
    turns: int
    thumbs_up: int = Field(description="Answers that somebody liked")
    thumbs_down: int = Field(description="Answers that somebody disliked")
    first_at_ms: int
    last_at_ms: int
    expires_at_ms: int = Field(description="When it is deleted by itself")


class ConversationPage(BaseModel):
    """One page of conversations, the latest first."""

    conversations: list[ConversationView]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page")
    retention_days: int = Field(description="0: none are kept")


class CitationView(BaseModel):
    """A source that an answer rests on."""

    source_id: str
    title: str
    section: str
    page: int = Field(description="0: it has no pages")


class FeedbackView(BaseModel):
    """What somebody thought of an answer."""

    rating: Literal["up", "down"]
    comment: str
    at_ms: int


class TurnView(BaseModel):
    """A question and its answer."""

    run_id: str
    status: str
    model: str
    question: str
    answer: str
    citations: list[CitationView]
    redacted: bool = Field(description="Whether personal data was taken out before it was stored")
    started_at_ms: int
    feedback: FeedbackView | None


class Transcript(ConversationView):
    """A conversation with what was said: its first 500 turns."""

    transcript: list[TurnView]
