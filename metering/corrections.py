"""What corrections of a run change: its usage from now on, and what it costs more or less.

A correction never rewrites what was charged. It becomes an adjustment: the difference between the run's cost
with it and without it, corrections taking effect in the order of `(occurred_at_ms, request_id)`. That makes
the adjustments, like the cost, a function of the run's state alone, whatever order the events came in.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from metering.prices import Charge, PriceBook, cost
from metering.runs import Call, Correction, RunState, order_of

#: Names the call that an `amend` without a `call_id` adds.
ADDED = "added:"
_SEQ = 1 << 33


class Adjustment(Struct, frozen=True, array_like=True, gc=False):
    """What one correction changed the run's cost by, in micro-credits."""

    request_id: str
    amount_micro: int
    occurred_at_ms: int
    price_version: str
    reason: str


def corrected_cost(
    state: RunState, books: Mapping[str, PriceBook]
) -> tuple[RunState, Charge, tuple[Adjustment, ...]]:
    """Return the run with its usage amended, what it costs in all, and the adjustments that are part of it.

    `books` holds the book of the run and of every rerating. Raises `KeyError` when one is missing.
    """
    book = books[state.identity.price_version]
    charge = cost(state, book)
    if not state.corrections:
        return state, charge, ()
    amended, voided, adjustments = state, False, []
    for correction in sorted(state.corrections.values(), key=order_of):
        if correction.kind == "void":
            voided = True
        elif correction.kind == "rerate":
            book = books[correction.new_price_version]
        else:
            amended = _amended(amended, correction)
        priced = cost(amended, book)
        after = Charge(0 if voided else priced.micro, priced.unpriced)
        adjustments.append(
            Adjustment(
                correction.request_id,
                after.micro - charge.micro,
                correction.occurred_at_ms,
                book.version,
                correction.reason,
            )
        )
        charge = after
    return amended, charge, tuple(adjustments)


def versions_of(state: RunState) -> set[str]:
    """Return the price books that the run's cost depends on."""
    named = {c.new_price_version for c in state.corrections.values() if c.kind == "rerate"}
    return named | {state.identity.price_version}


def _amended(state: RunState, correction: Correction) -> RunState:
    call_id = correction.call_id or ADDED + correction.request_id
    known = state.calls.get(call_id)
    model = correction.model or (known.model if known else state.phase.model if state.phase else "")
    call = Call(
        True,
        _SEQ,
        correction.output,
        correction.input_uncached,
        correction.cache_read,
        correction.cache_write,
        correction.reasoning,
        model,
        "provider",
    )
    calls = {**state.calls, call_id: call}
    return RunState(state.identity, state.phase, calls, state.tools, state.skewed, state.corrections)
