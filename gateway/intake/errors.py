"""What the intake answers when it will not take a report."""

from __future__ import annotations

from gateway.errors import RateLimited
from kit.problems import InvalidRequest, Problem


class InvalidEvent(InvalidRequest):
    code, title = "invalid_event", "That is not a report of a run"


class NoTime(InvalidRequest):
    code, title = "event_without_time", "The event does not say when the run was"


class EventTooOld(InvalidRequest):
    code, title = "event_too_old", "The event is too old to be told from a repeated one"


class EventInFuture(InvalidRequest):
    code, title = "event_in_future", "The run has not happened yet"


class NoPrices(InvalidRequest):
    code, title = "no_prices", "No prices were in force when the run was"


class TooManyEvents(Problem):
    status, code, title = 413, "too_many_events", "The batch has too many events"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "That is no CloudEvents content type"


class IntakeRateLimited(RateLimited):
    title = "More events are reported than may be"
