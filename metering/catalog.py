"""The base of every price book: published list prices, from the table that `genai-prices` bundles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from msgspec import structs

from metering.prices import MICRO_PER_CREDIT, PriceBook, Rates, Tier, versioned

#: In order of precedence: a model that several list has the price of the first, which made it.
PROVIDERS = ("openai", "anthropic", "google", "mistral", "deepseek")
CREDITS_PER_USD = 100
#: What an unknown model costs, as a multiple of nothing cheaper than a frontier model's list price.
_DEFAULT_USD = {"input": Decimal(5), "output": Decimal(25)}
_PER_TOOL_CALL_MICRO = 50_000
#: The embedding model that comes with the product: no vendor lists it. US dollars per million tokens.
OWN_USD = {"wordllama-l2-256": Decimal("0.01")}
#: Below any threshold: where the base rates hold.
_BASE = -1


def list_price_book(at: datetime, mark_up_percent: int = 0) -> PriceBook:
    """Return a book of the list prices in force at `at`, marked up; its version is a digest of it.

    Raises `msgspec.ValidationError` when the mark-up takes a rate over the cap.
    """
    factor = Decimal(100 + mark_up_percent).scaleb(-2)
    models: dict[str, Rates] = {}
    tiers: dict[str, tuple[Tier, ...]] = {}
    for name, price in _prices(at):
        if name not in models and (rates := _rates(price, factor, _BASE)) is not None:
            models[name] = rates
            if dearer := _tiers(price, factor, rates):
                tiers[name] = dearer
    for name, usd in OWN_USD.items():
        rate = _rate(usd, factor)
        models[name] = Rates(input=rate, cache_read=rate, cache_write=rate, output=rate, reasoning=rate)
    default = Rates(
        input=_rate(_DEFAULT_USD["input"], factor),
        cache_read=_rate(_DEFAULT_USD["input"], factor),
        cache_write=_rate(_DEFAULT_USD["input"], factor),
        output=_rate(_DEFAULT_USD["output"], factor),
        reasoning=_rate(_DEFAULT_USD["output"], factor),
    )
    book = PriceBook(
        version="", models=models, tiers=tiers, default=default, per_tool_call=_PER_TOOL_CALL_MICRO
    )
    return versioned(book, "list")


def _prices(at: datetime) -> Iterable[tuple[str, Any]]:
    providers = {provider.id: provider for provider in get_snapshot().providers}
    for name in PROVIDERS:
        for model in providers[name].models:
            yield model.id, model.get_prices(at)


def _tiers(price: Any, factor: Decimal, base: Rates) -> tuple[Tier, ...]:
    """Return the tiers of a model, one for each threshold that some bucket of it has."""
    listed = (price.input_mtok, price.cache_read_mtok, price.cache_write_mtok, price.output_mtok)
    starts = {tier.start for bucket in listed for tier in getattr(bucket, "tiers", ())}
    found, below = [], base
    for start in sorted(starts):
        rates = _rates(price, factor, start)
        if rates is not None:
            below = _at_least(rates, below)
            found.append(Tier(above_input_tokens=start, rates=below))
    return tuple(found)


def _at_least(rates: Rates, below: Rates) -> Rates:
    """Return the dearer of each rate: a book has no tier that is cheaper than the one below it."""
    dearer = {name: max(getattr(rates, name), getattr(below, name)) for name in Rates.__struct_fields__}
    return structs.replace(rates, **dearer)


def _rates(price: Any, factor: Decimal, above: int) -> Rates | None:
    """Return a model's rates for inputs just above that size; `None` for one not priced by the token."""
    usd_in = _usd(price.input_mtok, above)
    if usd_in is None:
        return None
    # A model that embeds has no output; nothing may be cheaper to report than what it really was.
    usd_out = usd_in if price.output_mtok is None else _usd(price.output_mtok, above)
    if usd_out is None:
        return None
    usd_read, usd_write = _usd(price.cache_read_mtok, above), _usd(price.cache_write_mtok, above)
    output = _rate(usd_out, factor)
    return Rates(
        input=_rate(usd_in, factor),
        # What the cache costs that is not listed is what input costs.
        cache_read=_rate(usd_in if usd_read is None else usd_read, factor),
        cache_write=_rate(usd_in if usd_write is None else usd_write, factor),
        output=output,
        reasoning=output,
    )


def _usd(listed: Any, above: int) -> Decimal | None:
    """Return US dollars per million tokens, of a tiered price for inputs just above that size."""
    if listed is None or isinstance(listed, Decimal):
        return listed
    reached = [tier.price for tier in listed.tiers if tier.start <= above]
    return Decimal(reached[-1] if reached else listed.base)


def _rate(usd: Decimal, factor: Decimal) -> int:
    micro = usd * factor * CREDITS_PER_USD * MICRO_PER_CREDIT
    return int(micro.to_integral_value(rounding=ROUND_CEILING))
