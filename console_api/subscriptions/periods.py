"""Periods of a subscription, by the calendar. Pure."""

from __future__ import annotations

from console_api.database.tables import Subscription
from metering import plans

#: A period's credits are given so long before it begins, for they are effective only then: runs that are in
#: flight when one period ends go on with the next one's.
AHEAD_MS = 3_600_000
#: A year is twelve of its months, so that 29 February is renewed.
_MONTHS = {"month": 1, "year": 12}


def end_of(start_ms: int, every: str, periods: int = 1) -> int:
    """Return when so many periods that begin then are over, Unix ms."""
    span = plans.Subscription(subscription_id="", started_at_ms=start_ms)
    unit: plans.Every = "day" if every == "day" else "month"
    end = start_ms
    for _ in range(periods * _MONTHS.get(every, 1)):
        _, end = plans.period_at(span, unit, end)
    return end


def grantable(row: Subscription, now_ms: int) -> int:
    """Return up to when its periods may be granted: somewhat ahead, but none that is not paid."""
    return min(now_ms + AHEAD_MS, row.paid_until_ms - 1)
