"""What a run costs, in integer micro-credits.

One credit is 1/100 US dollar, one micro-credit a millionth of it. A rate is micro-credits per million tokens;
each model call is priced by itself, rounded up once, and the calls are added. No float, no clock.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from metering.runs import Call, RunState

TOKENS_PER_RATE = 1_000_000
MICRO_PER_CREDIT = 1_000_000

#: At most 1,000 USD per million tokens: a price table from upstream is checked, never trusted.
Rate = Annotated[int, Meta(ge=0, le=1_000 * 100 * MICRO_PER_CREDIT)]
Fee = Annotated[int, Meta(ge=0, le=1_000 * MICRO_PER_CREDIT)]


class Rates(Struct, frozen=True, kw_only=True):
    """Micro-credits per million tokens of each bucket. `reasoning` prices the reasoning part of `output`."""

    input: Rate
    cache_read: Rate
    cache_write: Rate
    output: Rate
    reasoning: Rate

    def __post_init__(self) -> None:
        # Otherwise a growing reasoning share would make a growing call cheaper, and a hold too small.
        if self.reasoning < self.output:
            raise ValueError("reasoning tokens are a part of the output and may not be cheaper than it")


class PriceBook(Struct, frozen=True, kw_only=True):
    """A version of a tenant's prices; immutable once published under its `version`."""

    version: str
    models: dict[str, Rates]
    #: What a model that is not in the book costs. Such a run is flagged, never free.
    default: Rates
    per_run: Fee = 0
    per_tool_call: Fee = 0
    tools: dict[str, Fee] = {}


class Charge(Struct, frozen=True):
    """A run's price so far. `unpriced`: some call's model was not in the book."""

    micro: int
    unpriced: bool


def call_cost(call: Call, rates: Rates) -> int:
    """Return what one model call costs, in micro-credits, rounded up."""
    weighted = (
        call.input_uncached * rates.input
        + call.cache_read * rates.cache_read
        + call.cache_write * rates.cache_write
        + (call.output - min(call.reasoning, call.output)) * rates.output
        + min(call.reasoning, call.output) * rates.reasoning
    )
    return -(-weighted // TOKENS_PER_RATE)


def cost(state: RunState, book: PriceBook) -> Charge:
    """Return what the run costs under `book`: its fee, its model calls and its tool calls.

    The fee is due once the run used something: a run that was refused upstream costs nothing.
    """
    micro, unpriced = 0, False
    for call in state.calls.values():
        rates = book.models.get(call.model)
        if rates is None:
            rates, unpriced = book.default, True
        micro += call_cost(call, rates)
    for tool in state.tools.values():
        micro += book.tools.get(tool.tool, book.per_tool_call)
    if state.calls or state.tools:
        micro += book.per_run
    return Charge(micro, unpriced)


def worst_case(book: PriceBook, model: str, tokens_in: int, tokens_out: int) -> int:
    """Return the most one model call of that size can cost, in micro-credits, with the run's fee."""
    rates = book.models.get(model, book.default)
    dearest = max(rates.input, rates.cache_read, rates.cache_write)
    weighted = tokens_in * dearest + tokens_out * rates.reasoning
    return -(-weighted // TOKENS_PER_RATE) + book.per_run
