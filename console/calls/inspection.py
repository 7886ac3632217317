"""One run in full."""

from __future__ import annotations

from msgspec import Struct

from console.calls.instances import Run
from console.visitor import Visitor, part


class ModelCall(Struct, frozen=True):
    """One model call; without a time its event is on its way to history."""

    call_id: str
    step: int
    model: str
    tokens_in: int
    cache_read: int
    cache_write: int
    tokens_out: int
    reasoning: int
    source: str
    final: bool
    reports: int = 0
    first_at_ms: int | None = None
    last_at_ms: int | None = None


class ToolUse(Struct, frozen=True):
    """One finished tool call."""

    tool_call_id: str
    step: int
    tool: str
    duration_ms: int
    status: str
    ended_at_ms: int | None = None


class BillItem(Struct, frozen=True):
    """`quantity` at `rate_micro` for `per` of them."""

    component: str
    reference: str
    name: str
    quantity: int
    rate_micro: int
    per: int
    amount_micro: int
    above_input_tokens: int | None = None
    unpriced: bool = False


class BillCorrection(Struct, frozen=True):
    """What a correction charged more, or less."""

    request_id: str
    kind: str
    reason: str
    price_version: str
    occurred_at_ms: int
    amount_micro: int


class Bill(Struct, frozen=True):
    """Why the run costs what it does."""

    price_version: str
    missing_version: str
    items: tuple[BillItem, ...]
    corrections: tuple[BillCorrection, ...]
    total_micro: int
    charged_micro: int
    exact: bool


class EntryLine(Struct, frozen=True):
    """A ledger entry of the run."""

    entry_id: str
    kind: str
    amount_micro: int
    occurred_at_ms: int
    recorded_at_ms: int
    price_version: str
    reason: str
    topic: str
    partition: int
    offset: int


class RunRecord(Struct, frozen=True):
    """One event, and its place on Kafka."""

    kind: str
    reference: str
    detail: str
    topic: str
    partition: int
    offset: int
    occurred_at_ms: int
    recorded_at_ms: int


class Inspection(Struct, frozen=True):
    """Everything known of one run."""

    run: Run
    arriving: bool
    truncated: bool
    calls: tuple[ModelCall, ...]
    tool_calls: tuple[ToolUse, ...]
    bill: Bill
    ledger: tuple[EntryLine, ...]
    events: tuple[RunRecord, ...]


class _Place(Struct):
    instance_id: str


async def instance_of(visitor: Visitor, run_id: str) -> str:
    """Return which of the org's instances a run is of. Raises `Missing`."""
    return (await visitor.get(f"/runs/{part(run_id)}", _Place)).instance_id


async def inspection(visitor: Visitor, instance_id: str, run_id: str) -> Inspection:
    return await visitor.get(f"/instances/{part(instance_id)}/runs/{part(run_id)}/inspection", Inspection)
