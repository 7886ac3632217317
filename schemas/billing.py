"""What a receiver of billing is told of a run (topic `billing.records`)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.events import (
    EVENT_VERSION,
    MAX_EXACT,
    Channel,
    Count,
    Id,
    MicroCredits,
    OptionalId,
    OptionalName,
    RunStatus,
    Total,
    UnixMs,
    Version,
)

Exact = Annotated[int, Meta(ge=-MAX_EXACT, le=MAX_EXACT)]

#: What can be added up, by its name in `BillingRecord`; each has a `<name>_change` beside it.
MEASURES: Final = ("runs", "tokens_in", "tokens_out", "tool_calls", "duration_ms", "charged_micro")


class BillingRecord(Struct, frozen=True, kw_only=True):
    """A closed run, or what changed of one since its record before.

    `record_id` is the run and its `revision`: 1 when it closed, then one more with each correction or late
    event that changed what it used or costs. Whoever keeps the latest revision reads the plain fields, which
    are the run's totals so far. Whoever adds up reads the fields that end in `_change`, which say what this
    revision adds to the one before (less than zero where a correction took something back): over all
    revisions of a run they sum to its totals.
    """

    v: Version = EVENT_VERSION
    record_id: Annotated[str, Meta(min_length=1, max_length=140)]
    revision: Annotated[int, Meta(ge=1)]
    tenant_id: Id
    org_id: Id
    instance_id: Id
    run_id: Id
    #: Of the run's ledger entry: whoever compares the two finds the same number there.
    version: Annotated[int, Meta(ge=0, le=MAX_EXACT)]
    channel: Channel
    key_id: OptionalId = ""
    model: OptionalName = ""
    status: RunStatus
    price_version: OptionalId = ""
    estimated: bool = False
    unpriced: bool = False
    started_at_ms: UnixMs
    closed_at_ms: UnixMs = 0
    #: When the usage counts: of the first revision when the run started, of a later one when it was made.
    occurred_at_ms: UnixMs
    #: When the ledger entry it was made from reached the log.
    recorded_at_ms: UnixMs
    runs: Count = 1
    tokens_in: Total = 0
    tokens_out: Total = 0
    tool_calls: Count = 0
    duration_ms: Count = 0
    charged_micro: MicroCredits = 0
    runs_change: Exact = 0
    tokens_in_change: Exact = 0
    tokens_out_change: Exact = 0
    tool_calls_change: Exact = 0
    duration_ms_change: Exact = 0
    charged_micro_change: Exact = 0
    #: Where in `credits.ledger` (same partition) it was made from: what a worker that starts reads on after.
    ledger_offset: Count
