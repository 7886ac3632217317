"""Runs for property tests: `lawful_runs` as producers make them, `wild_runs` with every field drawn."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import settings
from hypothesis import strategies as st

from metering.prices import PriceBook, Rates
from metering.runs import MeteredEvent
from schemas.events import CLOSING_STATUSES, RunEvent, TokenEvent, ToolCallEvent

WHOSE = {
    "tenant_id": "acme",
    "org_id": "org_1",
    "instance_id": "ins_1",
    "run_id": "run_1",
    "channel": "api",
    "key_id": "key_1",
    "price_version": "list-1",
    "started_at_ms": 1_750_000_000_000,
}
STARTED = WHOSE["started_at_ms"]
MODELS = ("cheap", "dear", "unheard-of")
BUCKETS = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")

#: The whole folder stays within some 15 seconds; a slow machine is no failure.
briefly = settings(max_examples=40, deadline=None)

Pairs = list[tuple[MeteredEvent, bool]]
tokens = st.integers(0, 2_000_000)
rate = st.integers(0, 100_000_000_000)


def token(call_id: str, seq: int, **fields: object) -> TokenEvent:
    """Return a count of one call."""
    known = {"model": "cheap", "occurred_at_ms": STARTED + seq}
    return TokenEvent(**{**WHOSE, **known, "call_id": call_id, "seq": seq, **fields})  # type: ignore[arg-type]


def tool(tool_call_id: str, **fields: object) -> ToolCallEvent:
    """Return a finished tool call."""
    known = {"tool": "calculator", "occurred_at_ms": STARTED + 5}
    return ToolCallEvent(**{**WHOSE, **known, "tool_call_id": tool_call_id, **fields})  # type: ignore[arg-type]


def run(status: str, **fields: object) -> RunEvent:
    """Return a beginning or an ending."""
    known = {"model": "cheap", "occurred_at_ms": STARTED + (0 if status == "started" else 900)}
    return RunEvent(**{**WHOSE, **known, "status": status, **fields})  # type: ignore[arg-type]


@st.composite
def growing_call(draw: st.DrawFn, call_id: str, *, corrected: bool = False) -> list[TokenEvent]:
    """One call's counts: no bucket ever shrinks, and only the last may be final.

    `corrected`: the final count is the provider's and owes nothing to the estimates before it.
    """
    model = draw(st.sampled_from(MODELS))
    steps = draw(st.lists(st.tuples(*[tokens] * 5), min_size=1, max_size=5))
    grown = list(accumulate(steps, lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True))))
    if corrected:
        grown.append(draw(st.tuples(*[tokens] * 5)))
    closed = corrected or draw(st.booleans())
    events = []
    for seq, counts in enumerate(grown):
        named = dict(zip(BUCKETS, counts, strict=True))
        named["reasoning"] = min(named["reasoning"], named["output"])
        final = closed and seq == len(grown) - 1
        source = "provider" if final else "estimate"
        events.append(token(call_id, seq, model=model, final=final, source=source, **named))
    return events


@st.composite
def lawful_runs(draw: st.DrawFn) -> Pairs:
    """A run as gateway, runner and reaper report it, in order. At most one real ending."""
    events: list[MeteredEvent] = [run("started")] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 3))):
        events += draw(growing_call(f"call_{number}"))
    for number in range(draw(st.integers(0, 3))):
        status = draw(st.sampled_from(("ok", "error", "timeout")))
        name = draw(st.sampled_from(("calculator", "search")))
        events.append(tool(f"tool_{number}", tool=name, status=status))
    if draw(st.booleans()):
        events.append(run("lost", occurred_at_ms=STARTED + 800))
    if draw(st.booleans()) or not events:
        ending = draw(st.sampled_from(CLOSING_STATUSES[1:]))
        events.append(run(ending, duration_ms=draw(st.integers(0, 10_000))))
    return [(event, draw(st.booleans())) for event in events]


small = st.integers(0, 3)
wild_token = st.builds(
    token,
    st.sampled_from(("call_0", "call_1")),
    small,
    model=st.sampled_from(MODELS),
    final=st.booleans(),
    source=st.sampled_from(("provider", "estimate", "partial")),
    **dict.fromkeys(BUCKETS, small),
)
wild_tool = st.builds(
    tool,
    st.sampled_from(("tool_0", "tool_1")),
    status=st.sampled_from(("ok", "error", "timeout")),
    duration_ms=small,
)
wild_run = st.builds(
    run,
    st.sampled_from(("started", *CLOSING_STATUSES)),
    occurred_at_ms=small,
    tokens_in=small,
    error_code=st.sampled_from(("", "boom")),
    streamed=st.booleans(),
)
#: Events that contradict each other: two endings, two counts under one `seq`.
wild_runs = st.lists(
    st.tuples(st.one_of(wild_token, wild_tool, wild_run), st.booleans()), min_size=1, max_size=12
)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    """Rates that a price book may hold; no cache read dearer than plain input."""
    plain, output = draw(rate), draw(rate)
    return Rates(
        input=plain,
        cache_read=draw(st.integers(0, plain)),
        cache_write=draw(rate),
        output=output,
        reasoning=output + draw(st.integers(0, 1_000_000)),
    )


@st.composite
def price_books(draw: st.DrawFn) -> PriceBook:
    """A book that knows two of the three models."""
    return PriceBook(
        version="list-1",
        models={"cheap": draw(rates()), "dear": draw(rates())},
        default=draw(rates()),
        per_run=draw(st.integers(0, 5_000_000)),
        per_tool_call=draw(st.integers(0, 5_000_000)),
        tools={"search": draw(st.integers(0, 5_000_000))},
    )
