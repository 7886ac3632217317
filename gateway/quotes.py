"""What a model call may cost: how much has to be reserved for it, and how little will do."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct
from tiktoken.model import encoding_name_for_model

from metering.prices import PriceBook, tier_of, worst_case

#: With less room for an answer than this it is not worth asking.
LEAST_OUTPUT = 16
#: A tool's definition is a part of the prompt; providers do not say how they count it. Assumed of each tool
#: until calls have shown it, and what is allowed on top of what they showed.
_TOKENS_PER_TOOL = 96
_EXCESS_PERCENT = 25
_EXCESS_TOKENS = 8
#: Counts for models of other vendors are estimates by a foreign vocabulary.
_FOREIGN_PERCENT = 25
#: So near below a dearer tier its rates are assumed: the provider's count decides, and may differ a little.
_TIER_PERCENT = 3


class Quote(Struct, frozen=True, gc=False):
    """Holds for one model call in micro-credits, and the output in tokens that each pays for.

    `typical` hardly ever fails to pay for this instance's answers, `tight` is the same without a margin;
    `None` where a shorter answer is not wanted or nothing is known.
    """

    input_tokens: int
    least_output: int
    output: int
    minimum: int
    wanted: int
    typical: int | None
    tight: int | None


@lru_cache(maxsize=1_024)  # bounded: callers choose the names
def _is_foreign(model: str) -> bool:
    try:
        encoding_name_for_model(model)
    except KeyError:
        return True
    return False


def tools_bound(tools: int, excess: int | None) -> int:
    """Return the tokens of that many tools' definitions; `excess`: the most that calls have shown, if any."""
    if not tools:
        return 0
    if excess is None:
        return _TOKENS_PER_TOOL * tools
    return excess + -(-excess * _EXCESS_PERCENT // 100) + _EXCESS_TOKENS


def input_bound(book: PriceBook, model: str, counted: int) -> int:
    """Return what the provider will count as input at most, given what was counted here."""
    bound = counted
    if _is_foreign(model):
        bound += -(-bound * _FOREIGN_PERCENT // 100)
    if model in book.tiers:
        padded = bound + -(-bound * _TIER_PERCENT // 100)
        if tier_of(book, model, padded) is not tier_of(book, model, bound):
            return padded
    return bound


def quote(
    book: PriceBook, model: str, input_tokens: int, output: int, *, cap_output: bool, p99: int | None
) -> Quote:
    """Return the holds for a call. A free one holds a micro-credit too: it has to count as running."""

    def price(tokens_out: int) -> int:
        return max(1, worst_case(book, model, input_tokens, tokens_out))

    wanted = price(output)
    if not cap_output:
        return Quote(input_tokens, output, output, wanted, wanted, None, None)
    least = min(output, LEAST_OUTPUT)
    minimum, typical, tight = price(least), None, None
    if p99 is not None and p99 < output:
        tight = price(max(p99, least))
        typical = price(min(output, max(p99 + -(-p99 // 5), least)))
    return Quote(input_tokens, least, output, minimum, wanted, typical, tight)
