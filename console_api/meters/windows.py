"""Windows by number: how a moment becomes the number of its window, and that one its start.

Windows are counted from the one that holds the range's start, so that the n-th of a period can stand beside
the n-th of the period before. Days, weeks (from Monday) and months are counted on the calendar of the time
zone; minutes and hours on the clock, whatever it is set to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from console_api import rollups
from console_api.meters.models import MeterQuestion, Window
from console_api.times import Range
from kit.problems import InvalidRequest

MAX_WINDOWS = 10_000
_DAY_MS = 86_400_000
_FIXED_MS: dict[str, int] = {"minute": 60_000, "hour": 3_600_000}
_ABOUT_MS: dict[Window, int] = {
    "minute": 60_000,
    "hour": 3_600_000,
    "day": _DAY_MS,
    "week": 7 * _DAY_MS,
    "month": 28 * _DAY_MS,
}
_COARSER: dict[Window, str] = {"minute": "window=hour", "hour": "window=day", "day": "window=month"}

#: Number of the window of a row, `at`, counted from `{base}`; see `Counting`.
_NUMBERS: dict[Window | None, str] = {
    None: "toInt64(0)",
    "minute": "intDiv(toUnixTimestamp64Milli(at) - {base:Int64}, 60000)",
    "hour": "intDiv(toUnixTimestamp64Milli(at) - {base:Int64}, 3600000)",
    "day": "toInt64(local_day) - {base:Int64}",
    "week": "intDiv(toInt64(local_day) - {base:Int64}, 7)",
    "month": "(toInt64(toYear(local_day)) - 1970) * 12 + toMonth(local_day) - 1 - {base:Int64}",
}
_EPOCH = "toDate32('1970-01-01')"
#: Start of window `n`, as local time; of the first it is the range's own where there is only one.
_STARTS: dict[Window | None, str] = {
    None: "fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')",
    "minute": "fromUnixTimestamp64Milli({base:Int64} + (n) * 60000, 'UTC')",
    "hour": "fromUnixTimestamp64Milli({base:Int64} + (n) * 3600000, 'UTC')",
    "day": f"toDateTime64(addDays({_EPOCH}, {{base:Int64}} + (n)), 3, {{tz:String}})",
    "week": f"toDateTime64(addDays({_EPOCH}, {{base:Int64}} + 7 * (n)), 3, {{tz:String}})",
    "month": f"toDateTime64(addMonths({_EPOCH}, {{base:Int64}} + (n)), 3, {{tz:String}})",
}


@dataclass(frozen=True)
class Counting:
    """SQL of a window's number, start and end. `base`: the first one's start in Unix ms, days or months."""

    number: str
    start: str
    end: str


def counting(window: Window | None) -> Counting:
    """Return the SQL of a window's number, start and end."""
    start = _STARTS[window]
    end = start.replace("(n)", "(n + 1)") if window else "fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')"
    return Counting(_NUMBERS[window], start, end)


def unit(window: Window | None, span: Range, tz: ZoneInfo) -> int:
    """Return how wide the rollup's buckets may be, in ms, that these windows are made of."""
    if window in ("minute", "hour"):
        whole = window == "hour" and base(window, span.from_ms, tz) % rollups.HOUR_MS == 0
        return rollups.HOUR_MS if whole else rollups.MINUTE_MS
    return rollups.DAY_MS if window is None else rollups.unit_of_days(tz, span)


def base(window: Window | None, from_ms: int, tz: ZoneInfo) -> int:
    """Return what the number of the window that holds `from_ms` is counted from."""
    if window is None:
        return 0
    if width := _FIXED_MS.get(window):
        offset = _local(from_ms, tz).utcoffset() or timedelta()
        shift = int(offset.total_seconds() * 1000) % width
        return (from_ms + shift) // width * width - shift
    day = _local(from_ms, tz).date()
    if window == "month":
        return (day.year - 1970) * 12 + day.month - 1
    days = (day - date(1970, 1, 1)).days
    return days - day.weekday() if window == "week" else days


def check(question: MeterQuestion) -> None:
    """Raise `InvalidRequest` for more windows than one answer may have."""
    span, window = question.span, question.window
    if window is None or (span.to_ms - span.from_ms) // _ABOUT_MS[window] <= MAX_WINDOWS:
        return
    remedy = " or ".join(filter(None, (_COARSER.get(window), "a shorter range")))
    raise InvalidRequest(
        f"window: this range holds more than {MAX_WINDOWS} windows; ask for {remedy}.",
        max_windows=MAX_WINDOWS,
    )


def previous(question: MeterQuestion) -> Range:
    """Return the period before, as long: in days or months where windows are, else in milliseconds."""
    span, window, tz = question.span, question.window, question.tz
    if window is None or window in _FIXED_MS:
        return Range(max(0, 2 * span.from_ms - span.to_ms), span.from_ms)
    count = base(window, span.to_ms - 1, tz) - base(window, span.from_ms, tz)
    count += 7 if window == "week" else 1
    start = _local(span.from_ms, tz)
    earlier = _months_before(start, count) if window == "month" else start - timedelta(days=count)
    return Range(max(0, int(earlier.timestamp() * 1000)), span.from_ms)


def _months_before(moment: datetime, count: int) -> datetime:
    month = moment.year * 12 + moment.month - 1 - count
    if month < 1970 * 12:
        return datetime(1970, 1, 1, tzinfo=UTC)
    first = moment.replace(year=month // 12, month=month % 12 + 1, day=1)
    # The 31st of a month that has none is its last day.
    longest = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(moment.day, longest.day))


def _local(at_ms: int, tz: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz)
