"""When credits run out: the pace of use over a balance, and what time alone will change of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metering.wallet import Change
from metering.windows import DAY_MS

#: How many calendar days (UTC) a pace is taken from, the one that goes on included.
LOOKED_AT_DAYS: Final = 7
#: Beyond this a forecast from a week of use says nothing.
HORIZON_DAYS: Final = 365


def pace(days: Sequence[int], elapsed_today_ms: int) -> int:
    """Return what is used a day, in micro-credits.

    `days`: use by calendar day, oldest first, the last one so far: `elapsed_today_ms` of it have passed. Days
    before the first use are left out, for they say nothing about somebody who has just begun. Less than a
    whole day counts as one, so that the first hour of a new agent is not taken for all its hours.
    """
    began = next((at for at, used in enumerate(days) if used), None)
    if began is None:
        return 0
    measured_ms = (len(days) - began - 1) * DAY_MS + elapsed_today_ms
    return sum(days[began:]) * DAY_MS // max(measured_ms, DAY_MS)


def ends_at(available_micro: int, per_day_micro: int, schedule: Sequence[Change], now_ms: int) -> int:
    """Return when the credits end at a steady use, with the expiries and grants that time brings; 0: never.

    Between two changes the balance falls in a straight line, so each stretch is one division. Credits spent
    before they would have expired do not expire: an expiry takes at most what use has left of it.
    """
    left, at_ms, spent = available_micro, now_ms, 0
    for change_ms, delta_micro in schedule:
        if left <= 0:
            return at_ms
        used = per_day_micro * (change_ms - at_ms) // DAY_MS
        if per_day_micro and used >= left:
            return at_ms + left * DAY_MS // per_day_micro
        left, at_ms, spent = left - used, change_ms, spent + used
        if delta_micro < 0:
            # What expires next is spent first.
            expires = max(0, -delta_micro - spent)
            spent = max(0, spent + delta_micro)
            left -= expires
        else:
            left += delta_micro
    if left <= 0:
        return at_ms
    if not per_day_micro:
        return 0
    ends = at_ms + left * DAY_MS // per_day_micro
    return ends if ends - now_ms <= HORIZON_DAYS * DAY_MS else 0
