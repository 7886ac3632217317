"""The base of every price book: published list prices, from the table that `genai-prices` bundles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from hashlib import sha256
from typing import Any

import msgspec
from genai_prices.data_snapshot import get_snapshot

from metering.prices import MICRO_PER_CREDIT, PriceBook, Rates

PROVIDERS = ("openai", "anthropic", "google", "mistral", "deepseek")
CREDITS_PER_USD = 100
#: What an unknown model costs, as a multiple of nothing cheaper than a frontier model's list price.
_DEFAULT_USD = {"input": Decimal(5), "output": Decimal(25)}
_PER_TOOL_CALL_MICRO = 50_000


def list_price_book(at: datetime, mark_up_percent: int = 0) -> PriceBook:
    """Return a book of the list prices in force at `at`, marked up; its version is a digest of it.

    Raises `msgspec.ValidationError` when the mark-up takes a rate over the cap.
    """
    factor = Decimal(100 + mark_up_percent) / 100
    models = {name: rates for name, price in _prices(at) if (rates := _rates(price, factor)) is not None}
    default = Rates(
        input=_rate(_DEFAULT_USD["input"], factor),
        cache_read=_rate(_DEFAULT_USD["input"], factor),
        cache_write=_rate(_DEFAULT_USD["input"], factor),
        output=_rate(_DEFAULT_USD["output"], factor),
        reasoning=_rate(_DEFAULT_USD["output"], factor),
    )
    book = PriceBook(version="", models=models, default=default, per_tool_call=_PER_TOOL_CALL_MICRO)
    digest = sha256(msgspec.json.encode(book, order="deterministic")).hexdigest()[:12]
    # Checked here, where it can be mended, and not first by those who read it.
    return msgspec.convert({**msgspec.to_builtins(book), "version": f"list-{digest}"}, PriceBook)


def _prices(at: datetime) -> Iterable[tuple[str, Any]]:
    for provider in get_snapshot().providers:
        if provider.id in PROVIDERS:
            for model in provider.models:
                yield model.id, model.get_prices(at)


def _rates(price: Any, factor: Decimal) -> Rates | None:
    """Return a model's rates; `None` for one that is not priced by the token."""
    usd_in, usd_out = _usd(price.input_mtok), _usd(price.output_mtok)
    if usd_in is None or usd_out is None:
        return None
    output = _rate(usd_out, factor)
    return Rates(
        input=_rate(usd_in, factor),
        # A cache read that is not listed costs what input costs.
        cache_read=_rate(_usd(price.cache_read_mtok) or usd_in, factor),
        cache_write=_rate(_usd(price.cache_write_mtok) or usd_in, factor),
        output=output,
        reasoning=output,
    )


def _usd(listed: Any) -> Decimal | None:
    """Return US dollars per million tokens; of a tiered price, the first tier."""
    return listed if listed is None or isinstance(listed, Decimal) else Decimal(listed.base)


def _rate(usd: Decimal, factor: Decimal) -> int:
    micro = usd * factor * CREDITS_PER_USD * MICRO_PER_CREDIT
    return int(micro.to_integral_value(rounding=ROUND_CEILING))
