"""What a call is held for: bounds that hold in practice, and lengths learned from the last calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.history import CallHistory
from gateway.quotes import input_bound, quote, tools_bound
from metering.prices import PriceBook, Rates, Tier, affordable_output, worst_case

_CHEAP = Rates(input=150_000, cache_read=75_000, cache_write=150_000, output=600_000, reasoning=600_000)
_DEAR = Rates(input=300_000, cache_read=75_000, cache_write=300_000, output=900_000, reasoning=900_000)
_FREE = Rates(input=0, cache_read=0, cache_write=0, output=0, reasoning=0)
_BOOK = PriceBook(
    version="v1",
    models={"gpt-4o": _CHEAP, "claude-x": _CHEAP, "free": _FREE},
    default=_DEAR,
    per_run=7,
    tiers={"gpt-4o": (Tier(above_input_tokens=100_000, rates=_DEAR),)},
)


def test_tools_and_foreign_vocabularies_widen_the_bound() -> None:
    assert input_bound(_BOOK, "gpt-4o", 100) == 100
    assert tools_bound(0, None) == tools_bound(0, 50) == 0
    assert tools_bound(2, None) > 150
    assert 100 < tools_bound(2, 100) < 150
    assert input_bound(_BOOK, "claude-x", 1_000) == 1_250


def test_just_below_a_tier_its_rates_are_assumed() -> None:
    assert input_bound(_BOOK, "gpt-4o", 90_000) == 90_000
    assert input_bound(_BOOK, "gpt-4o", 99_000) > 100_000
    assert input_bound(_BOOK, "gpt-4o", 120_000) == 120_000


@given(
    tokens_in=st.integers(0, 200_000), output=st.integers(1, 100_000), p99=st.none() | st.integers(0, 9_999)
)
def test_a_quotes_holds_are_in_order_and_pay_for_their_outputs(
    tokens_in: int, output: int, p99: int | None
) -> None:
    made = quote(_BOOK, "gpt-4o", tokens_in, output, cap_output=True, p99=p99)
    assert 1 <= made.minimum <= made.wanted == worst_case(_BOOK, "gpt-4o", tokens_in, output)
    assert affordable_output(_BOOK, "gpt-4o", tokens_in, made.minimum) >= made.least_output
    if made.typical is not None and made.tight is not None and p99 is not None:
        assert made.minimum <= made.tight <= made.typical <= made.wanted
        assert affordable_output(_BOOK, "gpt-4o", tokens_in, made.tight) >= p99


def test_a_quote_that_may_not_be_shortened_is_one_hold() -> None:
    made = quote(_BOOK, "gpt-4o", 10, 500, cap_output=False, p99=20)
    assert made.minimum == made.wanted
    assert (made.typical, made.tight) == (None, None)


def test_a_free_model_holds_something() -> None:
    free = PriceBook(version="v1", models={"free": _FREE}, default=_FREE)
    made = quote(free, "free", 1_000, 1_000, cap_output=True, p99=None)
    assert (made.minimum, made.wanted) == (1, 1)


@given(st.lists(st.integers(0, 500), max_size=450))
def test_the_p99_is_that_of_the_last_two_hundred(lengths: list[int]) -> None:
    history = CallHistory()
    for length in lengths:
        history.learn_output("inst_1", length)
    last = sorted(lengths[-200:])
    within = history.p99("inst_1")
    if len(last) < 20:
        assert within is None
    else:
        assert within in last
        assert sum(length <= within for length in last) * 100 >= 99 * len(last)
        assert sum(length < within for length in last) * 100 < 99 * len(last)
    assert history.p99("inst_2") is None


def test_the_excess_is_the_largest_of_calls_of_its_kind() -> None:
    history = CallHistory()
    for excess in (*range(19), -5):
        history.learn_excess("inst_1", "gpt-4o", 2, excess)
    assert history.excess("inst_1", "gpt-4o", 2) == 18
    assert history.excess("inst_1", "gpt-4o", 1) is None
    for _ in range(200):
        history.learn_excess("inst_1", "gpt-4o", 2, 3)
    assert history.excess("inst_1", "gpt-4o", 2) == 3
