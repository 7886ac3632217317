from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.catalog import list_price_book
from metering.prices import PriceBook
from metering.windows import SKEW_FUTURE_MS, SKEW_PAST_MS, WIDTH_MS, Window, is_skewed, start_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
NOON = int(datetime(2026, 3, 4, 12, 34, 56, 789_000, tzinfo=UTC).timestamp() * 1000)


def test_a_books_version_is_the_same_for_the_same_prices_and_names_any_other() -> None:
    book = list_price_book(AT)

    assert book == list_price_book(AT)
    assert book.version.startswith("list-")
    assert book.version != list_price_book(AT, mark_up_percent=1).version


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "claude-3-haiku", "gemini-2.5-pro"])
def test_well_known_models_are_priced(model: str) -> None:
    assert model in list_price_book(AT).models


def test_list_prices_become_micro_credits() -> None:
    # 2.50 US dollars in, 1.25 from the cache and 10 out for a million tokens; a credit is a cent.
    rates = list_price_book(AT).models["gpt-4o"]

    assert (rates.input, rates.cache_read, rates.output) == (250_000_000, 125_000_000, 1_000_000_000)


def test_a_mark_up_raises_every_rate_by_its_share_rounded_up() -> None:
    listed, marked = list_price_book(AT), list_price_book(AT, mark_up_percent=7)

    assert listed.models.keys() == marked.models.keys()
    for name, rates in [*listed.models.items(), ("default", listed.default)]:
        raised = marked.default if name == "default" else marked.models[name]
        for field in rates.__struct_fields__:
            known = getattr(rates, field)
            assert getattr(raised, field) in range(-(-known * 107 // 100) - 1, -(-known * 107 // 100) + 1)


@pytest.mark.parametrize("mark_up", [0, 20, 60])
def test_the_list_passes_the_checks_of_its_readers(mark_up: int) -> None:
    book = list_price_book(AT, mark_up)

    assert msgspec.json.decode(msgspec.json.encode(book), type=PriceBook) == book


def test_a_mark_up_beyond_the_cap_is_refused_where_the_book_is_made() -> None:
    with pytest.raises(ValueError, match="1000000000"):
        list_price_book(AT, mark_up_percent=100_000)


def test_no_listed_cache_read_is_dearer_than_the_hold_expects() -> None:
    dearer = [
        name
        for name, rates in list_price_book(AT).models.items()
        if rates.cache_read > max(rates.input, rates.cache_write)
    ]

    assert dearer == []


@given(st.sampled_from(list(WIDTH_MS)), st.integers(0, 4_102_444_800_000))
def test_a_moment_lies_in_its_window(window: Window, at_ms: int) -> None:
    start = start_of(window, at_ms)

    assert start <= at_ms < start + WIDTH_MS[window]
    assert start_of(window, start) == start
    assert start % WIDTH_MS[window] == 0


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ("second5", datetime(2026, 3, 4, 12, 34, 55, tzinfo=UTC)),
        ("minute", datetime(2026, 3, 4, 12, 34, tzinfo=UTC)),
        ("hour", datetime(2026, 3, 4, 12, tzinfo=UTC)),
        ("day", datetime(2026, 3, 4, tzinfo=UTC)),
    ],
)
def test_windows_start_at_utc_boundaries(window: Window, start: datetime) -> None:
    assert start_of(window, NOON) == int(start.timestamp() * 1000)


@pytest.mark.parametrize(
    ("late_by_ms", "skewed"),
    [
        (0, False),
        (SKEW_PAST_MS, False),
        (SKEW_PAST_MS + 1, True),
        (-SKEW_FUTURE_MS, False),
        (-SKEW_FUTURE_MS - 1, True),
    ],
)
def test_a_clock_is_doubted_past_its_limits_only(late_by_ms: int, skewed: bool) -> None:
    assert is_skewed(NOON, NOON + late_by_ms) is skewed
