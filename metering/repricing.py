"""What usage that happened would cost under another book: whole sums at once, not run by run.

Calls are summed by model and by where their input stands between the thresholds of all tiers in question, so
each sum falls into one tier. A call is charged rounded up by itself and a sum once, so that a preview may be
less than the charges by up to a micro-credit a call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from metering.prices import PriceBook, call_cost, tier_of
from metering.runs import Call


class UsedTokens(Struct, frozen=True, kw_only=True):
    """Tokens of a model's calls that fall between the same thresholds.

    `above_thresholds`: how many of `thresholds` lie below the input of each of them.
    """

    model: str
    calls: int
    above_thresholds: int = 0
    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


class Priced(Struct, frozen=True):
    """An amount in micro-credits. `unpriced`: the model is not in the book and costs its default."""

    micro: int
    unpriced: bool


def thresholds(*books: PriceBook) -> list[int]:
    """Return every size of an input above which some model costs more in one of the books, ascending."""
    return sorted(
        {tier.above_input_tokens for book in books for tiers in book.tiers.values() for tier in tiers}
    )


def above(bounds: Sequence[int], tokens_in: int) -> int:
    """Return how many of the bounds an input of that size lies above."""
    return bisect_left(bounds, tokens_in)


def tokens_cost(book: PriceBook, used: UsedTokens, bounds: Sequence[int]) -> Priced:
    """Return what the tokens cost under a book whose thresholds are all among `bounds`."""
    tokens_in = bounds[used.above_thresholds - 1] + 1 if used.above_thresholds else 0
    tier = tier_of(book, used.model, tokens_in)
    rates = tier.rates if tier else book.models.get(used.model, book.default)
    call = Call(
        True,
        0,
        used.output,
        used.input_uncached,
        used.cache_read,
        used.cache_write,
        used.reasoning,
        used.model,
        "provider",
    )
    return Priced(call_cost(call, rates), used.model not in book.models)


def tools_cost(book: PriceBook, tool: str, calls: int) -> int:
    """Return what so many calls of a tool cost, in micro-credits."""
    return calls * book.tools.get(tool, book.per_tool_call)
