"""What a run costs, in integer micro-credits.

One credit is 1/100 US dollar, one micro-credit a millionth of it. A rate is micro-credits per million tokens;
each model call is priced by itself, rounded up once, and the calls are added. No float, no clock.

A model may have tiers: a call whose whole input (fresh, read from and written to the cache) lies above a
tier's threshold pays that tier's rates for *all* of its tokens, output included. On the threshold it does not
yet. No rate falls from tier to tier, so that a growing call never gets cheaper and a hold is never too small.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from metering.runs import Call, RunState

TOKENS_PER_RATE = 1_000_000
MICRO_PER_CREDIT = 1_000_000
#: The most output tokens an event may report; what a call with free output may produce.
MAX_OUTPUT_TOKENS = 10_000_000_000

Checked = TypeVar("Checked", bound=Struct)
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


class Tier(Struct, frozen=True, kw_only=True):
    """What every token of a call costs whose input is larger than `above_input_tokens`."""

    above_input_tokens: Annotated[int, Meta(ge=0, le=10_000_000_000)]
    rates: Rates


Tiers = Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=16)]


class PriceBook(Struct, frozen=True, kw_only=True):
    """A version of a tenant's prices; immutable once published under its `version`."""

    version: str
    models: dict[str, Rates]
    #: What a model that is not in the book costs. Such a run is flagged, never free.
    default: Rates
    per_run: Fee = 0
    per_tool_call: Fee = 0
    tools: dict[str, Fee] = {}
    #: Of models whose price depends on the size of the input, in ascending order; `models` has what is below.
    tiers: dict[str, Tiers] = {}

    def __post_init__(self) -> None:
        for model, tiers in self.tiers.items():
            if model not in self.models:
                raise ValueError(f"{model!r} has tiers but no rates: add it to `models`")
            check_tiers(model, self.models[model], tiers)


class Charge(Struct, frozen=True):
    """A run's price so far. `unpriced`: some call's model was not in the book."""

    micro: int
    unpriced: bool


class PriceLine(Struct, frozen=True, kw_only=True):
    """One item of a run's price. The buckets are a call's, as in `metering.runs.Call`."""

    kind: Literal["call", "tool", "run_fee"]
    #: The call's or tool call's id; empty for the fee.
    reference: str = ""
    #: The model or the tool; empty for the fee.
    name: str = ""
    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    #: The threshold of the tier that priced a call; `None` when its base rates did.
    above_input_tokens: int | None = None
    #: What the call was priced with.
    rates: Rates | None = None
    unpriced: bool = False
    amount_micro: int


def check_tiers(model: str, base: Rates, tiers: tuple[Tier, ...]) -> None:
    """Raise `ValueError` unless the thresholds ascend and no rate falls, from `base` upwards."""
    if not tiers:
        raise ValueError(f"{model!r} has an empty list of tiers: leave it out")
    reached, below = -1, base
    for tier in tiers:
        if tier.above_input_tokens <= reached:
            raise ValueError(f"the tiers of {model!r} do not ascend: sort them and drop equal thresholds")
        for name in Rates.__struct_fields__:
            # Otherwise a call that grows over the threshold would get cheaper, and a hold too small.
            if getattr(tier.rates, name) < getattr(below, name):
                at = f"above {tier.above_input_tokens} input tokens"
                raise ValueError(f"{model!r} has a cheaper {name} {at} than below: raise it")
        reached, below = tier.above_input_tokens, tier.rates


def checked(value: Checked) -> Checked:
    """Return a copy of `value` that passed the checks a reader would make, such as the caps of rates.

    Raises `msgspec.ValidationError`, a `ValueError`, naming the field.
    """
    return msgspec.convert(msgspec.to_builtins(value), type(value))


def versioned(book: PriceBook, name: str) -> PriceBook:
    """Return a checked copy of `book` whose version is `name` and a digest of the prices."""
    unnamed = msgspec.structs.replace(book, version="")
    digest = sha256(msgspec.json.encode(unnamed, order="deterministic")).hexdigest()[:16]
    # Checked here, where it can be mended, and not first by those who read it.
    return checked(msgspec.structs.replace(book, version=f"{name}-{digest}"))


def tier_of(book: PriceBook, model: str, tokens_in: int) -> Tier | None:
    """Return the tier that an input of that size falls in; `None` when the base rates apply."""
    for tier in reversed(book.tiers.get(model, ())):
        if tokens_in > tier.above_input_tokens:
            return tier
    return None


def call_cost(call: Call, rates: Rates) -> int:
    """Return what one model call costs at these rates, in micro-credits, rounded up."""
    output = call.output
    # Reasoning is a part of the output, whatever a broken producer says. `min` costs more.
    reasoning = call.reasoning if call.reasoning < output else output
    weighted = (
        call.input_uncached * rates.input
        + call.cache_read * rates.cache_read
        + call.cache_write * rates.cache_write
        + (output - reasoning) * rates.output
        + reasoning * rates.reasoning
    )
    return -(-weighted // TOKENS_PER_RATE)


def cost(state: RunState, book: PriceBook) -> Charge:
    """Return what the run costs under `book`: its fee, its model calls and its tool calls.

    The fee is due once the run used something: a run that was refused upstream costs nothing.
    """
    micro, unpriced = 0, False
    for call in state.calls.values():
        model = call.model
        rates = book.models.get(model)
        if rates is None:
            rates, unpriced = book.default, True
        elif model in book.tiers:
            # `tier_of`, spelled out: this runs for every call of every run, several times.
            tokens_in = call.input_uncached + call.cache_read + call.cache_write
            for tier in reversed(book.tiers[model]):
                if tokens_in > tier.above_input_tokens:
                    rates = tier.rates
                    break
        micro += call_cost(call, rates)
    for tool in state.tools.values():
        micro += book.tools.get(tool.tool, book.per_tool_call)
    if state.calls or state.tools:
        micro += book.per_run
    return Charge(micro, unpriced)


def lines(state: RunState, book: PriceBook) -> tuple[PriceLine, ...]:
    """Return what `cost` adds up: calls, then tool calls, each by id, then the run's fee if there is one."""
    found = [_call_line(call_id, state.calls[call_id], book) for call_id in sorted(state.calls)]
    for tool_call_id in sorted(state.tools):
        tool = state.tools[tool_call_id].tool
        amount = book.tools.get(tool, book.per_tool_call)
        found.append(PriceLine(kind="tool", reference=tool_call_id, name=tool, amount_micro=amount))
    if found and book.per_run:
        found.append(PriceLine(kind="run_fee", amount_micro=book.per_run))
    return tuple(found)


def worst_case(book: PriceBook, model: str, tokens_in: int, tokens_out: int) -> int:
    """Return the most one model call up to that size can cost, in micro-credits, with the run's fee.

    It assumes nothing of the cache: all of the input may fall in its dearest bucket, all of the output may be
    reasoning. It is only as good as `tokens_in`: a count that is too low may miss a tier.
    """
    dearest, reasoning = _dearest(book, model, tokens_in)
    weighted = tokens_in * dearest + tokens_out * reasoning
    return -(-weighted // TOKENS_PER_RATE) + book.per_run


def affordable_output(book: PriceBook, model: str, tokens_in: int, budget_micro: int) -> int:
    """Return the largest `tokens_out` whose `worst_case` is within the budget, at most `MAX_OUTPUT_TOKENS`.

    0: the budget pays the input and not one token of output. -1: it does not even pay the input.
    """
    dearest, reasoning = _dearest(book, model, tokens_in)
    # A whole number of micro-credits covers what is rounded up just when it covers what is not.
    left = (budget_micro - book.per_run) * TOKENS_PER_RATE - tokens_in * dearest
    if left < 0:
        return -1
    return min(left // reasoning, MAX_OUTPUT_TOKENS) if reasoning else MAX_OUTPUT_TOKENS


def _dearest(book: PriceBook, model: str, tokens_in: int) -> tuple[int, int]:
    """Return the dearest rates of the input and of the output of a call up to that size."""
    tier = tier_of(book, model, tokens_in)
    rates = tier.rates if tier else book.models.get(model, book.default)
    return max(rates.input, rates.cache_read, rates.cache_write), rates.reasoning


def _tokens_in(call: Call) -> int:
    return call.input_uncached + call.cache_read + call.cache_write


def _call_line(call_id: str, call: Call, book: PriceBook) -> PriceLine:
    tier = tier_of(book, call.model, _tokens_in(call))
    rates = tier.rates if tier else book.models.get(call.model, book.default)
    return PriceLine(
        kind="call",
        reference=call_id,
        name=call.model,
        input_uncached=call.input_uncached,
        cache_read=call.cache_read,
        cache_write=call.cache_write,
        output=call.output,
        reasoning=call.reasoning,
        above_input_tokens=tier.above_input_tokens if tier else None,
        rates=rates,
        unpriced=call.model not in book.models,
        amount_micro=call_cost(call, rates),
    )
