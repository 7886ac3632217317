"""Which rollups a range is read from: whole buckets inside, minutes around them, single runs at its ends.

So a question costs what its buckets cost, however many runs there were, and its answer is still that of the
runs in exactly this range.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from console_api.times import Range
from schemas import rows

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_TABLES = {MINUTE_MS: rows.USAGE_MINUTES.name, HOUR_MS: rows.USAGE_HOURS.name, DAY_MS: rows.USAGE_DAYS.name}
_WEEK_MS = 7 * DAY_MS


#: By the table that they are read from: pieces of a range, as [from, to) in Unix ms.
Pieces = dict[str, list[tuple[int, int]]]


def cut(*spans: Range, unit_ms: int) -> Pieces:
    """Return ranges in buckets of a minute, an hour or a day, of UTC.

    The rest is read in minutes, and what is less than a minute at either end from `runs`, by when they
    started. A bucket that the end of an open range falls into is read whole: nothing in it is later yet.
    """
    found: Pieces = {}
    for span in spans:
        to_ms = -(-span.to_ms // unit_ms) * unit_ms if span.open else span.to_ms
        minutes_from, minutes_to = _inside(span.from_ms, to_ms, MINUTE_MS)
        whole_from, whole_to = _inside(minutes_from, minutes_to, unit_ms)
        for table, start, end in (
            (_TABLES[unit_ms], whole_from, whole_to),
            (_TABLES[MINUTE_MS], minutes_from, whole_from),
            (_TABLES[MINUTE_MS], whole_to, minutes_to),
            (rows.RUNS.name, span.from_ms, minutes_from),
            (rows.RUNS.name, minutes_to, to_ms),
        ):
            if start < end:
                found.setdefault(table, []).append((start, end))
    return found


def when(table: str, pieces: list[tuple[int, int]], of: str = "") -> str:
    """Return the SQL condition of a table's pieces; `of` stands before its columns."""

    # They are numbers of ours, so that nothing needs to be bound.
    def moment(at_ms: int) -> str:
        if table == rows.RUNS.name:
            return f"fromUnixTimestamp64Milli({at_ms}, 'UTC')"
        return f"toDateTime({at_ms // 1000}, 'UTC')"

    at = f"{of}started_at" if table == rows.RUNS.name else f"{of}at"
    each = [f"{at} >= {moment(start)} AND {at} < {moment(end)}" for start, end in pieces]
    return f"({' OR '.join(each)})"


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
