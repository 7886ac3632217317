"""Unusual hours: told from usual ones whatever the scale, and not hidden by an earlier outlier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.anomaly import HOUR_MS, MIN_ACTIVE, alike, unusual, usual
from metering.windows import KEPT_S, start_of

MONDAY_NOON = 1_789_992_000_000
EVEN = [100, 110, 90, 105, 95, 100, 120, 80, 100, 100, 115, 85]
_amounts = st.integers(0, 10**12)
_samples = st.lists(_amounts, min_size=MIN_ACTIVE, max_size=24)


def test_an_hour_is_compared_with_its_like_and_with_the_day_before() -> None:
    weekly, recent = alike(MONDAY_NOON)

    assert len(weekly) == 12
    assert len(recent) == 24
    assert all(start < MONDAY_NOON and start_of("hour", start) == start for start in weekly + recent)
    assert MONDAY_NOON - 28 * 24 * HOUR_MS in weekly
    assert MONDAY_NOON - HOUR_MS in recent
    assert min(weekly) > MONDAY_NOON - KEPT_S["hour"] * 1_000, "the counters have forgotten it"


@pytest.mark.parametrize(("spent", "is_unusual"), [(120, False), (200, False), (201, True), (5_000, True)])
def test_less_than_twice_the_usual_is_never_unusual(spent: int, is_unusual: bool) -> None:
    assert (unusual(spent, [EVEN], 1) is not None) == is_unusual


def test_the_bound_is_the_published_one() -> None:
    # NIST's formula by hand: median 50, deviations 50 40 30 20 10 0 10 20 30 40 50, their median 30;
    # 50 + 3.5 * 30 / 0.6745 = 205.67.
    sample = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]

    known = usual([sample])

    assert known is not None
    assert (known.median_micro, known.bound_micro) == (50, 205)


def test_mostly_idle_hours_are_measured_by_their_mean_deviation() -> None:
    # Median 0, MAD 0; the mean deviation is 6 * 100 / 24 = 25, and 3.5 * 1.253314 * 25 = 109.66.
    known = usual([[0] * 18 + [100] * 6])

    assert known is not None
    assert (known.median_micro, known.bound_micro) == (0, 109)


def test_what_is_new_is_not_unusual() -> None:
    assert unusual(10**9, [[0] * 24, [0] * 12], 1) is None
    assert unusual(10**9, [[0] * 19 + [5] * (MIN_ACTIVE - 1)], 1) is None


def test_a_lively_time_of_the_week_is_usual_then() -> None:
    night, mornings = [2] * 24, [900, 1_000, 1_100] * 4

    assert unusual(1_000, [mornings, night], 1) is None
    assert unusual(1_000, [night, night], 1) is not None


def test_a_small_amount_wakes_nobody() -> None:
    assert unusual(5_000, [EVEN], 5_001) is None


@given(_samples, _amounts)
def test_the_order_of_hours_is_nothing(sample: list[int], spent: int) -> None:
    assert unusual(spent, [sample], 0) == unusual(spent, [sorted(sample)], 0)


@given(_samples, _amounts, st.integers(0, 10**9))
def test_more_is_never_less_unusual(sample: list[int], spent: int, more: int) -> None:
    assert unusual(spent, [sample], 0) is None or unusual(spent + more, [sample], 0) is not None


@given(_samples, st.integers(1, 1_000))
def test_in_other_units_it_is_the_same_but_for_rounding(sample: list[int], scale: int) -> None:
    small, large = usual([sample]), usual([[value * scale for value in sample]])

    assert (small is None) == (large is None)
    if small is not None and large is not None:
        assert 0 <= large.bound_micro - small.bound_micro * scale < 2 * scale


@given(_samples, _samples, _amounts)
def test_it_takes_every_sample_that_knows_enough(one: list[int], other: list[int], spent: int) -> None:
    knowing = [sample for sample in (one, other) if sum(value > 0 for value in sample) >= MIN_ACTIVE]
    each = [unusual(spent, [sample], 0) is not None for sample in knowing]

    assert (unusual(spent, [one, other], 0) is not None) == (bool(each) and all(each))


@given(
    st.lists(st.integers(1_000, 2_000), min_size=13, max_size=24, unique=True),
    st.integers(0, 5),
    st.integers(10**6, 10**12),
)
def test_earlier_outliers_do_not_hide_the_next(clean: list[int], outliers: int, size: int) -> None:
    # Of distinct hours, up to a quarter replaced: the bound stays in reach of what is clean.
    sample = [size] * outliers + clean[outliers:]

    known = usual([sample])

    assert known is not None
    assert known.bound_micro <= 2_000 + 6 * 1_000
