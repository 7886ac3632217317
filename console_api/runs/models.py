"""Runs on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from console_api.money import Credits, CreditsMicro
from schemas.events import Channel, RunStatus


@dataclass(frozen=True)
class RunFilter:
    """Which runs: a range of starts `[from_ms, to_ms)`, a status, a model, a channel; empty means any."""

    from_ms: int
    to_ms: int
    status: str = ""
    model: str = ""
    channel: str = ""


@dataclass(frozen=True)
class Place:
    """A place in the order newest first: the page begins after it."""

    started_at_ms: int
    run_id: str


class Run(BaseModel):
    """One run as known so far; `started` means it is still going (or its end is still on its way)."""

    run_id: str
    status: RunStatus
    channel: Channel
    key_id: str = Field(description="API key it came with; empty for other channels")
    model: str
    streamed: bool
    end_user: str
    error_code: str
    started_at_ms: int
    closed_at_ms: int | None = Field(description="`null` while the run is open")
    duration_ms: int
    tokens_in: int
    tokens_out: int
    cache_read: int
    cache_write: int
    reasoning: int
    model_calls: int
    tool_calls: int
    credits: Credits
    credits_micro: CreditsMicro
    price_version: str
    estimated: bool = Field(description="A count was estimated because the provider reported none")
    unpriced: bool = Field(description="The model had no price; the default was charged")
    recorded_at_ms: int


class RunPage(BaseModel):
    """Runs, newest first."""

    runs: list[Run]
    next_cursor: str | None = Field(description="Pass as `cursor` for older runs")
