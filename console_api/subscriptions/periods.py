"""Periods of a subscription, by the calendar. Pure."""

from __future__ import annotations

from console_api.database.tables import Subscription
from metering import plans

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
    """Return up to when a subscription's periods may be granted: now, but for none that is not paid."""
    return min(now_ms, row.paid_until_ms - 1)
