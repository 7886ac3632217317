"""Reports on the wire: CloudEvents 1.0 (https://github.com/cloudevents/spec) of one type."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.events import Count, Name, OptionalId, ShortText, ToolStatus

_Attribute = Annotated[str, Meta(min_length=1, max_length=256)]
#: RFC 3339; without an offset nobody knows which moment it is.
_Moment = Annotated[datetime, Meta(tz=True)]
_MONTH_MS = 31 * 86_400_000


class ToolUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tool call; priced by its name."""

    tool: Name
    duration_ms: Count = 0
    status: ToolStatus = "ok"


class RunData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that happened elsewhere. The buckets of its tokens are disjoint, but `reasoning` is in `output`.

    `tool_calls`: the calls, or only how many there were. `started_at`: the event's `time` less `duration_ms`,
    if it is not given. `end_user`: the event's `subject`, if it is not given.
    """

    model: Name
    input_uncached: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    tool_calls: Annotated[tuple[ToolUse, ...], Meta(max_length=256)] | Annotated[int, Meta(ge=0, le=256)] = ()
    duration_ms: Annotated[int, Meta(ge=0, le=_MONTH_MS)] = 0
    status: Literal["completed", "failed", "cancelled", "limit_exceeded"] = "completed"
    error_code: ShortText = ""
    end_user: OptionalId = ""
    started_at: _Moment | None = None

    def __post_init__(self) -> None:
        if self.reasoning > self.output:
            raise ValueError("reasoning is a part of output and cannot be larger")

    def tools(self) -> tuple[ToolUse, ...]:
        """Return the tool calls, each by itself."""
        if isinstance(self.tool_calls, int):
            return (ToolUse(tool="unnamed"),) * self.tool_calls
        return self.tool_calls


class ReportedRun(Struct, frozen=True, kw_only=True):
    """A CloudEvent. `source` and `id` name it: what says the same twice counts once. Extensions are ignored.

    `time`: when the run ended.
    """

    id: _Attribute
    source: _Attribute
    specversion: Literal["1.0"]
    type: Literal["runmeter.run"]
    data: RunData
    time: _Moment | None = None
    subject: OptionalId | None = None
    datacontenttype: str | None = None


class EventProblem(Struct, frozen=True, kw_only=True):
    """Why an event of a batch was not taken, and what would help."""

    code: str
    detail: str


class EventResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event of a batch: 202, its run is durable; 422, it was not taken."""

    status: Literal[202, 422]
    id: str = ""
    source: str = ""
    run_id: str = ""
    error: EventProblem | None = None


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of a batch, event by event, in its order."""

    accepted: int
    rejected: int
    results: tuple[EventResult, ...]


class _Named(Struct):
    """As much of an event as says which one it is, when the rest is not valid."""

    id: Any = ""
    source: Any = ""


_event = msgspec.json.Decoder(ReportedRun).decode
_named = msgspec.json.Decoder(_Named).decode
_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
encode = msgspec.json.Encoder().encode


def event_of(text: bytes | msgspec.Raw) -> ReportedRun:
    """Return one event. Raises `msgspec.DecodeError`, `UnicodeDecodeError`, `RecursionError`."""
    return _event(text)


def events_of(text: bytes) -> list[msgspec.Raw]:
    """Return a batch's events as they stand there. Raises as `event_of` does."""
    return _batch(text)


def name_of(text: msgspec.Raw) -> tuple[str, str]:
    """Return the id and the source of an event that is not valid, as far as it has them."""
    try:
        found = _named(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    return str(found.id)[:256], str(found.source)[:256]
