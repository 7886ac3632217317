"""Dead letters on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Replayed by one request.
MAX_REPLAYED = 100
#: What one answer shows of a record.
MAX_SHOWN_BYTES = 8_192

LetterId = Annotated[str, Field(min_length=1, max_length=256, examples=["usage.tokens-3-1204"])]


class LetterView(BaseModel):
    """A record that was refused, by where it stands in the log."""

    letter_id: str
    topic: str
    partition: int
    offset: int
    org_id: str = Field(description="Empty: its key names no org")
    reason: str = Field(examples=["undecodable"])
    detail: str
    worker: str
    size_bytes: int
    kept: bool = Field(description="Whether its bytes are here; of a very large record they are not")
    recorded_at_ms: int
    replays: int
    replayed_at_ms: int = Field(description="0: it was not replayed from here")
    replayed_by: str


class LetterContent(LetterView):
    """A refused record with the beginning of its bytes."""

    encoding: Literal["utf-8", "hex"]
    content: str
    cut: bool = Field(description="Whether there is more of it")


class ReasonCount(BaseModel):
    """How many letters of a topic have a reason, and how many of them were never replayed."""

    topic: str
    reason: str
    letters: int
    waiting: int


class LetterPage(BaseModel):
    """One page of letters, newest first; `reasons` is of all of them, whatever was filtered."""

    letters: list[LetterView]
    reasons: list[ReasonCount]
    next_cursor: str | None


class ReplayTerms(BaseModel):
    """Which letters to publish once more. One that was replayed before is left out, unless `again`."""

    model_config = ConfigDict(extra="forbid")

    letter_ids: list[LetterId] = Field(min_length=1, max_length=MAX_REPLAYED)
    again: bool = False


class NotReplayed(BaseModel):
    """A letter that was left out."""

    letter_id: str
    why: str


class Replayed(BaseModel):
    """What became of each."""

    replayed: list[str]
    left_out: list[NotReplayed]
