"""When credits run out: pace of use over balance, expiries and grants to come."""

from __future__ import annotations

import pytest

from console.calls.wallet import Change
from console.pages.instance.branding import ink_on
from console.pages.instance.forecast import ends_at

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
    changes = tuple(Change(at * DAY, delta * CREDIT, 0) for at, delta in schedule)
    assert ends_at(available * CREDIT, per_day * CREDIT, changes, 0) == days * DAY


@pytest.mark.parametrize(("available", "per_day"), [(10, 0), (1_000_000, 1)])
def test_no_end_within_a_year_is_none(available: int, per_day: int) -> None:
    assert ends_at(available * CREDIT, per_day * CREDIT, (), 1) == 0


@pytest.mark.parametrize(
    ("colour", "ink"), [("#4f46e5", "#ffffff"), ("#ffd400", "#161b26"), ("#ffffff", "#161b26")]
)
def test_text_on_a_brand_colour_can_be_read(colour: str, ink: str) -> None:
    assert ink_on(colour) == ink
