"""A run's price, item by item, as its owner is shown it: what was counted, the rate, and what came of it.

The items and the adjustments of a run add up to what it was charged, to the micro-credit. A call is rounded
up once, not item by item: each of its items is rounded down, and what that leaves is an item of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from metering.corrections import Adjustment, corrected_cost
from metering.prices import TOKENS_PER_RATE, PriceBook, PriceLine, lines
from metering.runs import RunState

Component = Literal[
    "input", "cache_read", "cache_write", "output", "reasoning", "rounding", "tool_call", "run_fee"
]


class Item(Struct, frozen=True, kw_only=True):
    """`quantity` at `rate` micro-credits per `per` of them. A rounding has neither."""

    component: Component
    #: The call's or tool call's id; empty for the run's fee.
    reference: str = ""
    #: The model or the tool; empty for the run's fee.
    name: str = ""
    quantity: int = 0
    rate: int = 0
    per: int = 1
    #: The threshold of the tier that priced the call; `None` when its base rates did.
    above_input_tokens: int | None = None
    #: The model was not in the book; the default was charged.
    unpriced: bool = False
    amount_micro: int


class Itemised(Struct, frozen=True):
    """What a run was first charged, what corrections changed of it, and what that is in all."""

    items: tuple[Item, ...]
    adjustments: tuple[Adjustment, ...]
    total_micro: int


def itemised(state: RunState, books: Mapping[str, PriceBook]) -> Itemised:
    """Return the run's price item by item: calls, then tool calls, each by id, then the run's fee.

    `books` holds the book of the run and of every rerating. Raises `KeyError` when one is missing.
    """
    items: list[Item] = []
    for line in lines(state, books[state.identity.price_version]):
        items += _of_call(line) if line.kind == "call" else [_of_other(line)]
    _, charge, adjustments = corrected_cost(state, books)
    return Itemised(tuple(items), adjustments, charge.micro)


def _of_call(line: PriceLine) -> Iterator[Item]:
    left = line.amount_micro
    for component, quantity, rate in _components(line):
        amount = quantity * rate // TOKENS_PER_RATE
        left -= amount
        if quantity:
            yield _item(line, component, amount, quantity=quantity, rate=rate, per=TOKENS_PER_RATE)
    if left:
        yield _item(line, "rounding", left)


def _components(line: PriceLine) -> tuple[tuple[Component, int, int], ...]:
    rates = line.rates
    assert rates is not None
    # As `call_cost` has it: reasoning is a part of the output.
    reasoning = min(line.reasoning, line.output)
    return (
        ("input", line.input_uncached, rates.input),
        ("cache_read", line.cache_read, rates.cache_read),
        ("cache_write", line.cache_write, rates.cache_write),
        ("output", line.output - reasoning, rates.output),
        ("reasoning", reasoning, rates.reasoning),
    )


def _of_other(line: PriceLine) -> Item:
    component: Component = "tool_call" if line.kind == "tool" else "run_fee"
    return _item(line, component, line.amount_micro, quantity=1, rate=line.amount_micro)


def _item(
    line: PriceLine, component: Component, amount: int, *, quantity: int = 0, rate: int = 0, per: int = 1
) -> Item:
    return Item(
        component=component,
        reference=line.reference,
        name=line.name,
        quantity=quantity,
        rate=rate,
        per=per,
        above_input_tokens=line.above_input_tokens,
        unpriced=line.unpriced,
        amount_micro=amount,
    )
