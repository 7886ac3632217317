"""When credits run out: pace of use over balance, expiries and grants to come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.forecast import ends_at, pace

DAY = 86_400_000
CREDIT = 1_000_000


@pytest.mark.parametrize(
    ("available", "per_day", "schedule", "days"),
    [
        (10, 1, [], 10),
        (0, 1, [], 0),
        # Ten expire in two days, two of them were used until then.
        (20, 1, [(2, -10)], 12),
        # All that expires was used before: nothing is lost by it.
        (20, 5, [(3, -10)], 4),
        # A grant to come moves the end.
        (10, 1, [(5, 10)], 20),
        # It comes too late.
        (10, 5, [(5, 10)], 2),
        # Without use, an expiry of everything ends it.
        (10, 0, [(4, -10)], 4),
    ],
)
def test_when_credits_end(available: int, per_day: int, schedule: list[tuple[int, int]], days: int) -> None:
    changes = [(at * DAY, delta * CREDIT) for at, delta in schedule]
    assert ends_at(available * CREDIT, per_day * CREDIT, changes, 0) == days * DAY


@pytest.mark.parametrize(("available", "per_day"), [(10, 0), (1_000_000, 1)])
def test_no_end_within_a_year_is_none(available: int, per_day: int) -> None:
    assert ends_at(available * CREDIT, per_day * CREDIT, (), 1) == 0


@pytest.mark.parametrize(
    ("days", "elapsed", "per_day"),
    [
        ([], 0, 0),
        ([0, 0, 0], DAY // 2, 0),
        # Two days and a half, all in use.
        ([20, 20, 10], DAY // 2, 20),
        # The days before the first use say nothing.
        ([0, 0, 0, 0, 0, 20, 10], DAY // 2, 20),
        # One hour of use is not taken for all hours.
        ([0, 0, 24], DAY // 24, 24),
        # A day without use in between is one.
        ([30, 0, 0], DAY, 10),
    ],
)
def test_the_pace_is_measured_since_the_first_use(days: list[int], elapsed: int, per_day: int) -> None:
    assert pace(days, elapsed) == per_day


_days = st.lists(st.integers(0, 10**12), min_size=1, max_size=7)


@given(_days, st.integers(0, DAY))
def test_a_pace_is_no_faster_than_all_of_it_in_a_day(days: list[int], elapsed: int) -> None:
    assert 0 <= pace(days, elapsed) <= sum(days)


@given(st.integers(1, 10**12), st.integers(1, 10**11), st.integers(1, 10**11), st.integers(0, 10**15))
def test_whoever_uses_more_ends_no_later(available: int, pace_: int, more: int, now: int) -> None:
    slow, fast = ends_at(available, pace_, [], now), ends_at(available, pace_ + more, [], now)

    assert fast <= slow or slow == 0


@given(
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(1, 400), st.integers(-(10**9), 10**9)), max_size=8),
)
def test_an_end_lies_ahead_and_a_gift_does_not_bring_it_nearer(
    available: int, per_day: int, changes: list[tuple[int, int]]
) -> None:
    schedule = sorted((at * DAY, delta) for at, delta in changes)
    ends = ends_at(available, per_day, schedule, 0)
    richer = ends_at(available + 10**9, per_day, schedule, 0)

    assert ends >= 0
    assert richer == 0 or ends == 0 or richer >= ends
