"""The cell rate algorithm against the bucket it stands for: one minute's allowance that refills evenly."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from metering.limits import WINDOW_US, rate

Asks = list[tuple[int, int]]

#: (microseconds since the last one, cost)
_ASKS = st.lists(
    st.tuples(st.integers(0, 2 * WINDOW_US) | st.integers(0, 1_000_000), st.integers(1, 40)), max_size=60
)
_START_US = 1_700_000_000_000_000


class Bucket:
    """The simple model, in exact fractions: `level` fills with what is let through and drains evenly."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.level = Fraction(0)
        self._at_us = _START_US

    def wait_until(self, now_us: int) -> None:
        drained = Fraction((now_us - self._at_us) * self.per_minute, WINDOW_US)
        self.level, self._at_us = max(Fraction(0), self.level - drained), now_us

    def has_room(self, cost: int, slack: Fraction = Fraction(0)) -> bool:
        return self.level + cost <= self.per_minute + slack


@given(per_minute=st.integers(1, 100_000), asks=_ASKS)
def test_it_lets_through_what_the_bucket_has_room_for(per_minute: int, asks: Asks) -> None:
    bucket, arrival, now, let_through = Bucket(per_minute), 0, _START_US, 0
    for pause, cost in asks:
        now += pause
        bucket.wait_until(now)
        rated = rate(arrival, now, cost, per_minute)
        # Each request is rounded down by less than a microsecond, and so may leave that much room too many.
        slack = Fraction((let_through + 1) * per_minute, WINDOW_US)
        if rated.allowed:
            assert bucket.has_room(cost, slack)
            bucket.level += cost
            let_through += 1
        else:
            assert not bucket.has_room(cost)
            assert rated.arrival_us == max(arrival, now)
        arrival = rated.arrival_us
        assert 0 <= rated.reset_us <= WINDOW_US
        assert abs(rated.remaining - (per_minute - bucket.level)) <= 1 + slack


@given(per_minute=st.integers(1, 10_000), asks=_ASKS)
def test_waiting_as_told_helps_and_waiting_less_does_not(per_minute: int, asks: Asks) -> None:
    arrival, now = 0, _START_US
    for pause, cost in asks:
        now += pause
        rated = rate(arrival, now, cost, per_minute)
        if rated.retry_after_us > 0:
            assert rate(arrival, now + rated.retry_after_us, cost, per_minute).allowed
            assert not rate(arrival, now + rated.retry_after_us - 1, cost, per_minute).allowed
        arrival = rated.arrival_us


@given(per_minute=st.integers(1, 300))
def test_a_quiet_minute_saves_up_the_whole_allowance(per_minute: int) -> None:
    arrival = 0
    for left in reversed(range(per_minute)):
        rated = rate(arrival, _START_US, 1, per_minute)
        assert rated.allowed
        assert left <= rated.remaining <= left + 1
        arrival = rated.arrival_us
    refused = rate(arrival, _START_US, 1, per_minute)
    assert not refused.allowed
    assert 0 < refused.retry_after_us <= WINDOW_US // per_minute
    assert rate(arrival, _START_US + WINDOW_US, per_minute, per_minute).allowed


def test_more_than_a_minute_allows_is_never_let_through() -> None:
    rated = rate(0, _START_US, 11, 10)
    assert (rated.allowed, rated.retry_after_us, rated.remaining) == (False, -1, 10)
