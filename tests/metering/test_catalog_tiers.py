from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import msgspec
import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices
from genai_prices.types import Tier as ListedTier
from hypothesis import given
from hypothesis import strategies as st
from run_strategies import briefly, token

from metering import catalog
from metering.catalog import OWN_USD, PROVIDERS, _rates, _tiers, list_price_book
from metering.prices import PriceBook, Rates, Tier, cost
from metering.runs import merge

AT = datetime(2026, 1, 1, tzinfo=UTC)
BOOK = msgspec.structs.replace(list_price_book(AT), per_run=0)
ONE = Decimal(1)
sizes = st.integers(0, 400_000) | st.sampled_from((100_000, 128_000, 200_000, 272_000))


def listed(model: str) -> ModelPrice:
    """Return what the maker of a model lists for it."""
    providers = {provider.id: provider for provider in get_snapshot().providers}
    return next(
        known.get_prices(AT) for name in PROVIDERS for known in providers[name].models if known.id == model
    )


@briefly
@given(st.sampled_from(sorted(BOOK.tiers)), sizes, sizes, sizes, st.integers(0, 100_000))
def test_a_tiered_model_costs_what_the_list_says_for_the_same_call(
    model: str, fresh: int, read: int, written: int, output: int
) -> None:
    usage = Usage(
        input_tokens=fresh + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
    )
    dollars = listed(model).calc_price(usage)["total_price"]
    call = token(
        "c", 0, model=model, input_uncached=fresh, cache_read=read, cache_write=written, output=output
    )

    # A dollar is a hundred credits of a million micro-credits.
    expected = int((dollars * 100_000_000).to_integral_value(rounding=ROUND_CEILING))
    assert cost(merge(None, call), BOOK).micro == expected


def test_a_model_known_for_its_tier_doubles_its_input_above_it() -> None:
    (tier,) = BOOK.tiers["gemini-2.5-pro"]

    assert tier.above_input_tokens == 200_000
    assert (BOOK.models["gemini-2.5-pro"].input, tier.rates.input) == (125_000_000, 250_000_000)
    assert (BOOK.models["gemini-2.5-pro"].output, tier.rates.output) == (1_000_000_000, 1_500_000_000)


def test_every_tiered_model_of_the_list_has_its_tiers_and_no_other_has() -> None:
    tiered = {
        name
        for name in BOOK.models.keys() - OWN_USD.keys()
        if any(
            isinstance(getattr(listed(name), bucket), TieredPrices)
            for bucket in ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
        )
    }

    assert BOOK.tiers.keys() == tiered
    assert len(tiered) > 5


def test_the_makers_price_beats_a_resellers() -> None:
    # Google resells it without a tier.
    assert "claude-sonnet-4-6" in BOOK.tiers


def test_a_model_listed_twice_has_the_price_and_the_tiers_of_the_first_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dear = TieredPrices(base=Decimal(2), tiers=[ListedTier(start=100, price=Decimal(3))])
    prices = {
        "google": ModelPrice(input_mtok=dear, output_mtok=ONE),
        "anthropic": ModelPrice(input_mtok=ONE, output_mtok=ONE),
    }
    providers = [
        Provider(id=name, name=name, api_pattern="", models=[ModelInfo(id="m", match=None, prices=price)])
        for name, price in prices.items()
    ]
    rest = [
        Provider(id=name, name=name, api_pattern="", models=[]) for name in PROVIDERS if name not in prices
    ]
    monkeypatch.setattr(
        catalog, "get_snapshot", lambda: DataSnapshot(providers=providers + rest, from_auto_update=False)
    )

    book = list_price_book(AT)

    assert (book.models["m"].input, book.tiers) == (100_000_000, {})


@pytest.mark.parametrize("mark_up", [0, 20, 33])
def test_a_marked_up_list_keeps_its_tiers_in_order(mark_up: int) -> None:
    book = list_price_book(AT, mark_up)

    assert book.tiers.keys() == BOOK.tiers.keys()
    assert msgspec.json.decode(msgspec.json.encode(book), type=PriceBook) == book


def test_buckets_with_thresholds_of_their_own_become_one_row_of_tiers() -> None:
    price = ModelPrice(
        input_mtok=TieredPrices(base=ONE, tiers=[ListedTier(start=100, price=Decimal(2))]),
        output_mtok=TieredPrices(base=ONE, tiers=[ListedTier(start=300, price=Decimal(3))]),
    )
    base = _rates(price, ONE, -1)
    assert base is not None

    found = _tiers(price, ONE, base)

    assert [(t.above_input_tokens, t.rates.input, t.rates.output) for t in found] == [
        (100, 200_000_000, 100_000_000),
        (300, 200_000_000, 300_000_000),
    ]


def test_a_listed_tier_that_is_cheaper_is_lifted_to_the_one_below() -> None:
    price = ModelPrice(
        input_mtok=TieredPrices(base=ONE, tiers=[ListedTier(start=100, price=Decimal("0.5"))]),
        output_mtok=ONE,
    )
    base = _rates(price, ONE, -1)
    assert base is not None

    assert _tiers(price, ONE, base) == (Tier(above_input_tokens=100, rates=base),)


def test_a_cache_read_that_is_listed_as_free_is_free_and_one_not_listed_costs_what_input_costs() -> None:
    free = _rates(ModelPrice(input_mtok=ONE, output_mtok=ONE, cache_read_mtok=Decimal(0)), ONE, -1)
    unlisted = _rates(ModelPrice(input_mtok=ONE, output_mtok=ONE), ONE, -1)

    assert isinstance(free, Rates)
    assert isinstance(unlisted, Rates)
    assert (free.cache_read, unlisted.cache_read) == (0, unlisted.input)
