"""What a run adds to its instance's counters, as a vector: a batch applies differences of such vectors."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, sub

from metering.runs import RunState
from schemas.events import RunSnapshot

#: Counter names, in the order of the vector. `runs` counts runs that ended; `charged` is micro-credits.
COUNTERS = (
    "started",
    "runs",
    "completed",
    "failed",
    "cancelled",
    "limit_exceeded",
    "lost",
    "tokens_in",
    "tokens_out",
    "cache_read",
    "cache_write",
    "reasoning",
    "model_calls",
    "tool_calls",
    "duration_ms",
    "charged",
)
Totals = tuple[int, ...]
ZERO: Totals = (0,) * len(COUNTERS)
CHARGED = COUNTERS.index("charged")


def totals_of(state: RunState, charged_micro: int) -> Totals:
    """Return the run's counter vector, with what it costs so far."""
    uncached = read = write = output = reasoning = 0
    for call in state.calls.values():
        uncached += call.input_uncached
        read += call.cache_read
        write += call.cache_write
        output += call.output
        reasoning += call.reasoning
    status = state.status
    phase = state.phase
    return (
        # A correction alone is not a run.
        int(phase is not None or bool(state.calls or state.tools)),
        int(status != "started"),
        int(status == "completed"),
        int(status == "failed"),
        int(status == "cancelled"),
        int(status == "limit_exceeded"),
        int(status == "lost"),
        uncached + read + write,
        output,
        read,
        write,
        reasoning,
        len(state.calls),
        len(state.tools),
        phase.duration_ms if phase else 0,
        charged_micro,
    )


def difference(new: Totals, old: Totals) -> Totals:
    """Return what `new` adds to `old`, counter by counter; negative where a correction took back."""
    return tuple(map(sub, new, old))


def plus(a: Totals, b: Totals) -> Totals:
    """Return the sum, counter by counter."""
    return tuple(map(add, a, b))


def total(additions: Sequence[Totals]) -> Totals:
    """Return the sum of at least one vector, counter by counter."""
    return tuple(map(sum, zip(*additions, strict=True)))


def snapshot_of(state: RunState, totals: Totals, version: int, *, unpriced: bool) -> RunSnapshot:
    """Return the run as the warehouse stores it."""
    named = dict(zip(COUNTERS, totals, strict=True))
    identity, phase = state.identity, state.phase
    return RunSnapshot(
        instance_id=identity.instance_id,
        run_id=identity.run_id,
        version=version,
        status=state.status,
        channel=identity.channel,  # type: ignore[arg-type]
        key_id=identity.key_id,
        model=phase.model if phase else next((call.model for call in state.calls.values()), ""),
        streamed=bool(phase and phase.streamed),
        end_user=phase.end_user if phase else "",
        error_code=phase.error_code if phase else "",
        started_at_ms=identity.started_at_ms,
        closed_at_ms=phase.occurred_at_ms if phase and state.closed else 0,
        duration_ms=named["duration_ms"],
        tokens_in=named["tokens_in"],
        tokens_out=named["tokens_out"],
        input_uncached=named["tokens_in"] - named["cache_read"] - named["cache_write"],
        cache_read=named["cache_read"],
        cache_write=named["cache_write"],
        reasoning=named["reasoning"],
        model_calls=named["model_calls"],
        tool_calls=named["tool_calls"],
        charged_micro=named["charged"],
        price_version=identity.price_version,
        estimated=any(call.source != "provider" for call in state.calls.values()),
        unpriced=unpriced,
        skewed=state.skewed,
    )
