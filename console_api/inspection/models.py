"""A run in full, on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from console_api.ledger.models import LedgerLine
from console_api.money import Credits, CreditsMicro
from console_api.runs.models import Run
from metering.itemised import Component
from schemas.events import CorrectionKind, ToolStatus, UsageSource

#: Rows of each list below. A run of the runner has far fewer; one that has more is marked as `truncated`.
MAX_ROWS = 500

EventKind = Literal["run", "tokens", "tool_call", "correction"]
_AT_MS = "Unix ms; `null` while the event is on its way to history"


class ModelCall(BaseModel):
    """One model call, by the last word on it. `reasoning` is a part of `tokens_out`."""

    call_id: str
    step: int = Field(description="1 is the run's first model call")
    model: str
    tokens_in: int = Field(description="All of the input: fresh, and read from and written to the cache")
    input_uncached: int
    cache_read: int
    cache_write: int
    tokens_out: int
    reasoning: int
    source: UsageSource = Field(description="Who counted: the provider, or us by the text (`estimate`)")
    final: bool = Field(description="The call has ended, and this is its count")
    reports: int = Field(
        description="Token events in history; a long answer has several, with growing totals"
    )
    first_at_ms: int | None = Field(description=f"When it was first reported, {_AT_MS}")
    last_at_ms: int | None = Field(description=f"When it was last reported, {_AT_MS}")


class ToolUse(BaseModel):
    """One finished tool call."""

    tool_call_id: str
    step: int = Field(description="1 is the run's first tool call")
    tool: str
    duration_ms: int
    status: ToolStatus
    ended_at_ms: int | None = Field(description=_AT_MS)


class BillItem(BaseModel):
    """`quantity` times `rate` by `per`, rounded down. Rounding each *call* up is an item `rounding`."""

    component: Component
    reference: str = Field(description="The call's or tool call's id; empty for the run's fee")
    name: str = Field(description="The model or the tool; empty for the run's fee")
    quantity: int
    rate_micro: int = Field(description="Micro-credits for `per` of them")
    per: int = Field(description="1,000,000 tokens, or 1")
    above_input_tokens: int | None = Field(description="The tier's threshold; `null` for the base rates")
    unpriced: bool = Field(description="The model had no price; the default was charged")
    amount: Credits
    amount_micro: CreditsMicro


class BillCorrection(BaseModel):
    """What a correction charged more, or (negative) less."""

    request_id: str
    kind: CorrectionKind
    call_id: str = Field(description="The call that an `amend` is about")
    reason: str
    price_version: str
    occurred_at_ms: int
    amount: Credits
    amount_micro: CreditsMicro


class Bill(BaseModel):
    """Why the run costs what it does. Items and corrections add up to `total`."""

    price_version: str = Field(description="The price book that the run was admitted under")
    missing_version: str = Field(
        description="A price book that is not there any more: then nothing is listed"
    )
    items: list[BillItem]
    corrections: list[BillCorrection]
    total: Credits
    total_micro: CreditsMicro
    charged: Credits = Field(description="What the wallet was charged")
    charged_micro: CreditsMicro
    exact: bool = Field(description="`total` is what was charged. Not so while facts are missing")


class EntryLine(LedgerLine):
    """A ledger entry with its place on Kafka."""

    topic: str
    partition: int
    offset: int


class RunRecord(BaseModel):
    """One event, where it stands on Kafka, and when it happened and was recorded there."""

    kind: EventKind
    reference: str = Field(description="The run, call, tool call or correction")
    detail: str = Field(description="A status; of tokens `final`, or the number of the interim count")
    topic: str
    partition: int
    offset: int
    occurred_at_ms: int
    recorded_at_ms: int


class RunPlace(BaseModel):
    """Where a run is."""

    run_id: str
    instance_id: str


class Inspection(BaseModel):
    """Everything known of one run. Each list has at most 500 rows."""

    run: Run
    arriving: bool = Field(description="Metered, but not all of it has reached history yet: ask again")
    truncated: bool = Field(description="A list has more rows than are shown")
    calls: list[ModelCall]
    tool_calls: list[ToolUse]
    bill: Bill
    ledger: list[EntryLine] = Field(description="Oldest first; of each the last version")
    events: list[RunRecord] = Field(description="Oldest first")
