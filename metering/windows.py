"""Windows of time that usage is counted in. A run belongs to the windows it *started* in (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

Window = Literal["second5", "minute", "hour", "day", "month"]

DAY_MS: Final = 86_400_000
#: Windows of one width; a month is a calendar month.
WIDTH_MS: dict[Window, int] = {"second5": 5_000, "minute": 60_000, "hour": 3_600_000, "day": DAY_MS}
#: How long the live counters keep a window; the warehouse keeps all of them.
KEPT_S: dict[Window, int] = {
    "second5": 900,
    "minute": 3 * 86_400,
    "hour": 35 * 86_400,
    "day": 400 * 86_400,
    "month": 800 * 86_400,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: An event this far from the broker's clock is counted, and flagged.
SKEW_PAST_MS = 3_600_000
SKEW_FUTURE_MS = 300_000


def start_of(window: Window, at_ms: int) -> int:
    """Return the start, in Unix ms, of the window that `at_ms` falls in."""
    if window == "month":
        return _month_start(at_ms - at_ms % DAY_MS)
    return at_ms - at_ms % WIDTH_MS[window]


@lru_cache(maxsize=1_024)
def _month_start(day_start_ms: int) -> int:
    day = _EPOCH + timedelta(milliseconds=day_start_ms)
    return day_start_ms - (day.day - 1) * DAY_MS


def is_skewed(occurred_at_ms: int, recorded_at_ms: int) -> bool:
    """Return whether a producer's clock and the broker's disagree by more than lateness explains."""
    return not -SKEW_FUTURE_MS <= recorded_at_ms - occurred_at_ms <= SKEW_PAST_MS
