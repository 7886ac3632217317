"""Moments and ranges as clients write them: ISO-8601 or Unix milliseconds, in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from kit import zones
from kit.problems import InvalidRequest

#: 2100-01-01, the last moment an event may carry.
LAST_MS = 4_102_444_800_000
_FORMS = "an ISO-8601 moment such as 2026-01-31T09:00:00Z, or Unix milliseconds"


@dataclass(frozen=True)
class Range:
    """A half-open range of time in Unix ms: `from_ms ≤ t < to_ms`.

    `open`: its end had not passed when it was asked for, so that there is nothing to be left out after it.
    """

    from_ms: int
    to_ms: int
    open: bool = False


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises `InvalidRequest`."""
    if name not in zones.known():
        raise InvalidRequest(f"tz: {name!r} is no IANA time zone; use one like Europe/Berlin or UTC.")
    return ZoneInfo(name)


def moment(field: str, text: str, tz: ZoneInfo) -> int:
    """Return Unix ms. A moment without an offset is meant in `tz`. Raises `InvalidRequest`."""
    try:
        if text.lstrip("-").isdecimal():
            at_ms = int(text)
        else:
            parsed = datetime.fromisoformat(text)
            local = parsed if parsed.tzinfo else parsed.replace(tzinfo=tz)
            at_ms = int(local.timestamp() * 1000)
    except (ValueError, OverflowError):
        hint = " A `+` in a URL must be written %2B." if " " in text else ""
        raise InvalidRequest(f"{field}: {text!r} is no moment; send {_FORMS}.{hint}") from None
    if not 0 <= at_ms <= LAST_MS:
        raise InvalidRequest(f"{field}: the moment lies outside 1970…2100; send {_FORMS}.")
    return at_ms


def range_of(start: str | None, end: str | None, default_ms: int, now_ms: int, tz: ZoneInfo) -> Range:
    """Return the range; without `to` it ends now, without `from` it is `default_ms` long."""
    to_ms = moment("to", end, tz) if end else now_ms + 1
    from_ms = moment("from", start, tz) if start else max(0, to_ms - default_ms)
    if from_ms >= to_ms:
        raise InvalidRequest("from: must lie before `to`; swap them, or leave `to` out for now.")
    return Range(from_ms, to_ms, open=to_ms > now_ms)


@lru_cache(maxsize=8_192)  # the buckets of dashboards, again and again
def iso(at_ms: int) -> str:
    """Return Unix ms as ISO-8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
