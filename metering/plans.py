"""What a plan grants: so many credits for each day or month of a subscription.

An annual plan that drips is a monthly allowance that ends with the year. Periods begin at the subscription's
moment of the day, months on its day of the month, or on the month's last day where there is no such day (so a
subscription of 31 January is renewed on 28 February and on 31 March). A period's credits end with it, but for
what rolls over. UTC; no clock.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

from metering.wallet import Grant

Every = Literal["day", "month"]

#: Plans burn before what was bought for good.
PLAN_PRIORITY = 10
#: Of what was missed, because nobody asked for a long time, at most so many periods are made up for.
MAX_MADE_UP = 400

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Allowance(Struct, frozen=True, kw_only=True):
    """What a plan includes. Of what is left, up to `rollover_cap_micro` lasts for `rollover_periods` more."""

    amount_micro: int
    every: Every
    rollover_cap_micro: int = 0
    rollover_periods: int = 1
    priority: int = PLAN_PRIORITY

    def __post_init__(self) -> None:
        if self.amount_micro < 1:
            raise ValueError("an allowance gives at least one micro-credit")
        if self.rollover_cap_micro < 0 or self.rollover_periods < 1:
            raise ValueError("a rollover has a cap of zero or more and lasts a period at least")


class Subscription(Struct, frozen=True, kw_only=True):
    """For whom and from when to when. `ended_at_ms` 0: not ended; no period begins at or after it."""

    subscription_id: str
    started_at_ms: int
    ended_at_ms: int = 0


def grants_due(subscription: Subscription, allowance: Allowance, after_ms: int, until_ms: int) -> list[Grant]:
    """Return the grants of the periods that begin after `after_ms`, up to and including `until_ms`.

    A grant's id names its period, so that asking again, or for spans that overlap, gives the same grants. Of
    periods that are over and rolled nothing over there is none. Raises `ValueError` for a span backwards.
    """
    if until_ms < after_ms:
        raise ValueError("the span ends before it begins")
    grants = []
    for start_ms, end_ms in _periods(subscription, allowance.every, after_ms, until_ms):
        rollover_ms = (end_ms - start_ms) * allowance.rollover_periods if allowance.rollover_cap_micro else 0
        if end_ms + rollover_ms <= until_ms:
            continue
        grants.append(
            Grant(
                f"{subscription.subscription_id}/{_day(start_ms)}",
                "plan",
                allowance.amount_micro,
                allowance.priority,
                start_ms,
                end_ms,
                allowance.rollover_cap_micro,
                rollover_ms,
            )
        )
    return grants[-MAX_MADE_UP:]


def period_at(subscription: Subscription, every: Every, at_ms: int) -> tuple[int, int]:
    """Return start and end of the period that `at_ms` falls in. Raises `ValueError` before the first."""
    if at_ms < subscription.started_at_ms:
        raise ValueError("the subscription had not begun")
    number = _number_at(subscription.started_at_ms, every, at_ms)
    return (
        _start(subscription.started_at_ms, every, number),
        _start(subscription.started_at_ms, every, number + 1),
    )


def _periods(
    subscription: Subscription, every: Every, after_ms: int, until_ms: int
) -> Iterator[tuple[int, int]]:
    first_ms, ended_ms = subscription.started_at_ms, subscription.ended_at_ms
    number = 0 if after_ms < first_ms else _number_at(first_ms, every, after_ms) + 1
    if until_ms >= first_ms:
        number = max(number, _number_at(first_ms, every, until_ms) - MAX_MADE_UP)
    while (start_ms := _start(first_ms, every, number)) <= until_ms:
        if ended_ms and start_ms >= ended_ms:
            return
        yield start_ms, _start(first_ms, every, number + 1)
        number += 1


def _number_at(first_ms: int, every: Every, at_ms: int) -> int:
    """Return the number of the period that `at_ms`, not before the first, falls in."""
    if every == "day":
        return (_at(at_ms) - _at(first_ms)) // timedelta(days=1)
    first, at = _at(first_ms), _at(at_ms)
    number = (at.year - first.year) * 12 + at.month - first.month
    return number if _start(first_ms, every, number) <= at_ms else number - 1


def _start(first_ms: int, every: Every, number: int) -> int:
    first = _at(first_ms)
    if every == "day":
        return _ms(first + timedelta(days=number))
    year, month = divmod(first.month - 1 + number, 12)
    year, month = first.year + year, month + 1
    day = min(first.day, calendar.monthrange(year, month)[1])
    return _ms(first.replace(year=year, month=month, day=day))


def _at(unix_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=unix_ms)


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def _day(unix_ms: int) -> str:
    return _at(unix_ms).strftime("%Y-%m-%d")
