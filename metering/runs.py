"""A run as a join-semilattice: merge is commutative, associative and idempotent.

State order: identities, calls and closings are each totally ordered, and merging takes the maximum; tool
calls are a keyed union. Hence duplicates, reordering and re-delivery of events cannot change where a run ends
up (Shapiro et al., *Conflict-free replicated data types*, 2011). Of one model call the *last word* wins: a
final count beats an interim one, then the higher `seq`. Summing cumulative counts, or taking the maximum per
bucket, would both over-count a provider's correction of an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from schemas.events import (
    CorrectionEvent,
    CorrectionKind,
    RunEvent,
    RunStatus,
    TokenEvent,
    ToolCallEvent,
    UsageSource,
)

Fact = TypeVar("Fact", bound=Struct)
MeteredEvent = RunEvent | TokenEvent | ToolCallEvent | CorrectionEvent

#: A real ending beats `lost`, which the reaper writes for a run whose owner died.
_RANK: dict[RunStatus, int] = {
    "started": 0,
    "lost": 1,
    "completed": 2,
    "failed": 2,
    "cancelled": 2,
    "limit_exceeded": 2,
}
#: Above any `seq`, so that a version grows when a final count replaces a later interim one.
_FINAL_WEIGHT = 1 << 34


class Identity(Struct, frozen=True, array_like=True, gc=False):
    """Whose run it is; equal in every event of a lawful run."""

    run_id: str
    tenant_id: str
    org_id: str
    instance_id: str
    channel: str
    key_id: str
    price_version: str
    started_at_ms: int


class Call(Struct, frozen=True, array_like=True, gc=False):
    """The last word on one model call. Field order is the order of precedence."""

    final: bool
    seq: int
    output: int
    input_uncached: int
    cache_read: int
    cache_write: int
    reasoning: int
    model: str
    source: UsageSource


class ToolCall(Struct, frozen=True, array_like=True, gc=False):
    """One finished tool call. Field order is the order of precedence."""

    tool: str
    status: str
    duration_ms: int


class Correction(Struct, frozen=True, array_like=True, gc=False):
    """An amendment of the run. Field order is the order in which several take effect."""

    occurred_at_ms: int
    request_id: str
    kind: CorrectionKind
    new_price_version: str
    call_id: str
    output: int
    input_uncached: int
    cache_read: int
    cache_write: int
    reasoning: int
    model: str
    reason: str


class Phase(Struct, frozen=True, array_like=True, gc=False):
    """How far the run is: opened, or closed with the totals its gateway reported."""

    rank: int
    occurred_at_ms: int
    status: RunStatus
    model: str
    tokens_in: int
    tokens_out: int
    tool_calls: int
    duration_ms: int
    error_code: str
    end_user: str
    streamed: bool


class RunState(Struct, array_like=True):
    """Everything known of one run. Treat as immutable: only `fold` builds one, on copies."""

    identity: Identity
    phase: Phase | None
    calls: dict[str, Call]
    tools: dict[str, ToolCall]
    skewed: bool = False
    corrections: dict[str, Correction] = {}

    @property
    def closed(self) -> bool:
        return self.phase is not None and self.phase.rank > 0

    @property
    def status(self) -> RunStatus:
        return self.phase.status if self.phase else "started"


def order_of(fact: Struct) -> tuple[object, ...]:
    """Return a fact's place in its total order: its fields, most significant first."""
    return tuple(getattr(fact, name) for name in fact.__struct_fields__)


def _later(a: Fact, b: Fact) -> Fact:
    return a if a == b or order_of(a) > order_of(b) else b


def _earlier(a: Correction, b: Correction) -> Correction:
    """Return what was asked for first: the same request, repeated, asks for nothing new."""
    return b if _later(a, b) is a else a


def _call_of(event: TokenEvent) -> Call:
    return Call(
        event.final,
        event.seq,
        event.output,
        event.input_uncached,
        event.cache_read,
        event.cache_write,
        event.reasoning,
        event.model,
        event.source,
    )


def _phase_of(event: RunEvent) -> Phase:
    return Phase(
        _RANK[event.status],
        event.occurred_at_ms,
        event.status,
        event.model,
        event.tokens_in,
        event.tokens_out,
        event.tool_calls,
        event.duration_ms,
        event.error_code,
        event.end_user,
        event.streamed,
    )


def _correction_of(event: CorrectionEvent) -> Correction:
    return Correction(
        event.occurred_at_ms,
        event.request_id,
        event.kind,
        event.new_price_version,
        event.call_id,
        event.output,
        event.input_uncached,
        event.cache_read,
        event.cache_write,
        event.reasoning,
        event.model,
        event.reason,
    )


def _identity_of(event: MeteredEvent) -> Identity:
    return Identity(
        event.run_id,
        event.tenant_id,
        event.org_id,
        event.instance_id,
        event.channel,
        event.key_id,
        event.price_version,
        event.started_at_ms,
    )


def fold(state: RunState | None, events: Iterable[tuple[MeteredEvent, bool]]) -> RunState:
    """Return `state` joined with `(event, skewed)` pairs of the same run; `state` is left as it was.

    Raises `ValueError` when there is neither a state nor an event.
    """
    merged: RunState | None = None
    if state is not None:
        merged = RunState(
            state.identity,
            state.phase,
            dict(state.calls),
            dict(state.tools),
            state.skewed,
            dict(state.corrections) if state.corrections else state.corrections,
        )
    for event, skewed in events:
        if merged is None:
            merged = RunState(_identity_of(event), None, {}, {}, skewed)
        else:
            _merge_identity(merged, event)
            merged.skewed = merged.skewed or skewed
        _merge_fact(merged, event)
    if merged is None:
        raise ValueError("a run has at least one event")
    return merged


def merge(state: RunState | None, event: MeteredEvent, *, skewed: bool = False) -> RunState:
    """Return `state` joined with one event."""
    return fold(state, ((event, skewed),))


def join(a: RunState, b: RunState) -> RunState:
    """Return the least state that holds all that `a` and `b` know of the same run."""
    calls = dict(a.calls)
    for call_id, call in b.calls.items():
        known = calls.get(call_id)
        calls[call_id] = call if known is None else _later(known, call)
    tools = dict(a.tools)
    for tool_call_id, tool in b.tools.items():
        seen = tools.get(tool_call_id)
        tools[tool_call_id] = tool if seen is None else _later(seen, tool)
    corrections = dict(a.corrections)
    for request_id, correction in b.corrections.items():
        same = corrections.get(request_id)
        corrections[request_id] = correction if same is None else _earlier(same, correction)
    phase = a.phase if b.phase is None else b.phase if a.phase is None else _later(a.phase, b.phase)
    return RunState(_later(a.identity, b.identity), phase, calls, tools, a.skewed or b.skewed, corrections)


def _merge_identity(state: RunState, event: MeteredEvent) -> None:
    known = state.identity
    # Lawful events agree on all of it; comparing the two fields a producer computes keeps the hot path short.
    if known.started_at_ms != event.started_at_ms or known.price_version != event.price_version:
        state.identity = _later(known, _identity_of(event))


def _merge_fact(state: RunState, event: MeteredEvent) -> None:
    if type(event) is TokenEvent:
        known = state.calls.get(event.call_id)
        # The usual case, an interim count behind or ahead of the known one, needs no full comparison.
        if known is None or (event.final, event.seq) > (known.final, known.seq):
            state.calls[event.call_id] = _call_of(event)
        elif event.final == known.final and event.seq == known.seq:
            state.calls[event.call_id] = _later(known, _call_of(event))
    elif type(event) is RunEvent:
        reached = state.phase
        if reached is None or _RANK[event.status] > reached.rank:
            state.phase = _phase_of(event)
        elif _RANK[event.status] == reached.rank:
            state.phase = _later(reached, _phase_of(event))
    elif type(event) is ToolCallEvent:
        tool = ToolCall(event.tool, event.status, event.duration_ms)
        seen = state.tools.get(event.tool_call_id)
        state.tools[event.tool_call_id] = tool if seen is None else _later(seen, tool)
    elif type(event) is CorrectionEvent:
        correction = _correction_of(event)
        same = state.corrections.get(correction.request_id)
        kept = correction if same is None else _earlier(same, correction)
        state.corrections = {**state.corrections, correction.request_id: kept}


def version_of(state: RunState) -> int:
    """Return a number that grows with every event that added something to the run, in any order."""
    version = (
        len(state.tools)
        + len(state.corrections)
        + state.skewed
        + (state.phase.rank + 1 if state.phase else 0)
    )
    for call in state.calls.values():
        version += call.seq + 1 + (_FINAL_WEIGHT if call.final else 0)
    return version
