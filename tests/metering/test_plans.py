from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import briefly

from metering.plans import Allowance, Subscription, grants_due, period_at

DAY_MS = 86_400_000


def ms(year: int, month: int, day: int, hour: int = 9) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1_000


MONTHLY = Allowance(amount_micro=1_000, every="month")
DAILY = Allowance(amount_micro=10, every="day")
JANUARY = Subscription(subscription_id="sub", started_at_ms=ms(2027, 1, 31))


def test_a_month_begins_on_the_day_of_the_subscription_or_on_the_months_last() -> None:
    starts = [period_at(JANUARY, "month", ms(2027, month, 28, 23))[0] for month in range(2, 7)]

    assert starts == [ms(2027, 2, 28), ms(2027, 2, 28), ms(2027, 3, 31), ms(2027, 4, 30), ms(2027, 5, 31)]


def test_a_periods_credits_end_when_the_next_begins() -> None:
    [first] = grants_due(JANUARY, MONTHLY, 0, ms(2027, 2, 1))
    [second] = grants_due(JANUARY, MONTHLY, ms(2027, 2, 1), ms(2027, 3, 1))

    assert first.expires_at_ms == second.effective_at_ms == ms(2027, 2, 28)
    assert (first.grant_id, second.grant_id) == ("sub/2027-01-31", "sub/2027-02-28")


def test_the_first_period_is_due_at_the_start_and_not_before() -> None:
    assert grants_due(JANUARY, DAILY, 0, JANUARY.started_at_ms - 1) == []
    assert len(grants_due(JANUARY, DAILY, 0, JANUARY.started_at_ms)) == 1


def test_an_annual_plan_drips_for_twelve_months() -> None:
    year = Subscription(subscription_id="y", started_at_ms=ms(2027, 3, 10), ended_at_ms=ms(2028, 3, 10))
    made = [
        g
        for m in range(20)
        for g in grants_due(
            year, MONTHLY, ms(2027, 3, 9) + 28 * m * DAY_MS, ms(2027, 3, 9) + 28 * (m + 1) * DAY_MS
        )
    ]

    assert len({grant.grant_id for grant in made}) == len(made) == 12
    assert made[-1].expires_at_ms == year.ended_at_ms


def test_days_that_were_missed_and_are_over_are_not_made_up_for() -> None:
    grants = grants_due(JANUARY, DAILY, 0, JANUARY.started_at_ms + 5 * DAY_MS)

    assert [grant.grant_id for grant in grants] == ["sub/2027-02-05"]


def test_what_a_missed_month_would_have_rolled_over_is_made_up_for() -> None:
    rolling = Allowance(amount_micro=1_000, every="month", rollover_cap_micro=300)
    grants = grants_due(JANUARY, rolling, 0, ms(2027, 3, 2))

    assert [grant.grant_id for grant in grants] == ["sub/2027-01-31", "sub/2027-02-28"]
    assert grants[0].rollover_ms == ms(2027, 2, 28) - ms(2027, 1, 31)


@pytest.mark.parametrize("wrong", [{"amount_micro": 0}, {"rollover_cap_micro": -1}, {"rollover_periods": 0}])
def test_an_allowance_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"allowance|rollover"):
        Allowance(**{"amount_micro": 1, "every": "day", **wrong})  # type: ignore[arg-type]


@briefly
@given(
    started=st.integers(ms(2024, 1, 1), ms(2026, 12, 31)),
    every=st.sampled_from(("day", "month")),
    steps=st.lists(st.integers(0, 30 * DAY_MS), min_size=1, max_size=12),
    ended=st.integers(0, 400 * DAY_MS),
)
def test_however_often_one_asks_every_period_is_granted_once(
    started: int, every: str, steps: list[int], ended: int
) -> None:
    subscription = Subscription(
        subscription_id="s", started_at_ms=started, ended_at_ms=started + ended if ended else 0
    )
    # What rolls over is worth making up for, so no period is left out for being over.
    allowance = Allowance(
        amount_micro=5,
        every=every,
        rollover_cap_micro=1,
        rollover_periods=1_000,  # type: ignore[arg-type]
    )
    asked, made = started - 1, []
    for step in steps:
        made += grants_due(subscription, allowance, asked, asked + step)
        asked += step

    assert made == grants_due(subscription, allowance, started - 1, asked)
    assert len({grant.grant_id for grant in made}) == len(made)
    for before, after in pairwise(made):
        assert before.expires_at_ms == after.effective_at_ms
