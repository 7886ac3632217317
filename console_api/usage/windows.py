"""The buckets of a series: every window that overlaps a range, in a time zone, also across clock changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from console_api import rollups
from console_api.times import Range
from kit.problems import InvalidRequest

UsageWindow = Literal["minute", "hour", "day"]

MAX_BUCKETS = 2_000
_WIDTH_MS: dict[UsageWindow, int] = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_COARSER: dict[UsageWindow, str] = {
    "minute": "window=hour, or a shorter range",
    "hour": "window=day, or a shorter range",
    "day": "a shorter range",
}


def starts(window: UsageWindow, span: Range, tz: ZoneInfo) -> list[int]:
    """Return the start of each bucket in Unix ms, oldest first. Raises `InvalidRequest` when too many."""
    expected = (span.to_ms - span.from_ms) // _WIDTH_MS[window]
    if expected > MAX_BUCKETS:
        raise InvalidRequest(
            f"window: this range holds {expected} buckets, at most {MAX_BUCKETS} fit; ask for "
            f"{_COARSER[window]}.",
            buckets=expected,
            max_buckets=MAX_BUCKETS,
        )
    if window == "day":
        return _days(span, tz)
    width = _WIDTH_MS[window]
    offset = datetime.fromtimestamp(span.from_ms / 1000, tz).utcoffset() or timedelta()
    shift = int(offset.total_seconds() * 1000) % width
    first = (span.from_ms + shift) // width * width - shift
    return list(range(first, span.to_ms, width))


def unit(window: UsageWindow, span: Range, tz: ZoneInfo) -> int:
    """Return how wide the rollup's buckets may be, in ms, that these buckets are made of."""
    if window == "day":
        return rollups.unit_of_days(tz, span)
    whole = window == "hour" and rollups.whole_hours(tz, span)
    return rollups.HOUR_MS if whole else rollups.MINUTE_MS


def _days(span: Range, tz: ZoneInfo) -> list[int]:
    day = datetime.fromtimestamp(span.from_ms / 1000, tz).date()
    found: list[int] = []
    while True:
        start_ms = int(datetime(day.year, day.month, day.day, tzinfo=tz).timestamp() * 1000)
        if start_ms >= span.to_ms:
            return found
        found.append(start_ms)
        day += timedelta(days=1)
