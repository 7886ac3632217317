"""Which rollups a range is read from: whole buckets inside, minutes around them, single runs at its ends.

So a question costs what its buckets cost, however many runs there were, and its answer is still that of the
runs in exactly this range.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from console_api.times import Range
from schemas import rows

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_TABLES = {MINUTE_MS: rows.USAGE_MINUTES.name, HOUR_MS: rows.USAGE_HOURS.name, DAY_MS: rows.USAGE_DAYS.name}
_WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True)
class Cut:
    """A range in pieces, in Unix ms.

    `table`: [whole_from, whole_to). Minutes: [minutes_from, whole_from) and [whole_to, minutes_to). Runs, by
    when they started: the rest, which is less than a minute at either end.
    """

    table: str
    from_ms: int
    minutes_from: int
    whole_from: int
    whole_to: int
    minutes_to: int
    to_ms: int


def cut(span: Range, unit_ms: int) -> Cut:
    """Return a range in buckets of a minute, an hour or a day, of UTC."""
    minutes_from, minutes_to = _inside(span.from_ms, span.to_ms, MINUTE_MS)
    whole_from, whole_to = _inside(minutes_from, minutes_to, unit_ms)
    return Cut(_TABLES[unit_ms], span.from_ms, minutes_from, whole_from, whole_to, minutes_to, span.to_ms)


def _inside(from_ms: int, to_ms: int, unit_ms: int) -> tuple[int, int]:
    first, last = -(-from_ms // unit_ms) * unit_ms, to_ms // unit_ms * unit_ms
    return (first, last) if first < last else (to_ms, to_ms)


def whole_hours(tz: ZoneInfo, span: Range) -> bool:
    """Return whether this zone's clocks differ from UTC by whole hours all the while."""
    # Clocks are set for months, so asking once a week misses nothing.
    moments = [*range(span.from_ms, span.to_ms, _WEEK_MS), span.to_ms]
    offsets = [datetime.fromtimestamp(at / 1000, tz).utcoffset() or timedelta() for at in moments]
    return all(offset % timedelta(hours=1) == timedelta() for offset in offsets)


def unit_of_days(tz: ZoneInfo, span: Range) -> int:
    """Return the widest buckets of UTC that days of this zone are made of."""
    if tz.key == "UTC":
        return DAY_MS
    return HOUR_MS if whole_hours(tz, span) else MINUTE_MS
