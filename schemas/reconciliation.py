"""A reconciliation, asked for and reported: all is computed again from what was recorded, and compared."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.events import (
    EVENT_VERSION,
    Count,
    Id,
    MicroCredits,
    Name,
    OptionalId,
    ShortText,
    UnixMs,
    Version,
)

#: Differences that a report spells out; `different` counts them all.
MAX_TOLD = 100


class ReconciliationRequest(Struct, frozen=True, kw_only=True):
    """Compare a tenant's runs, counters, wallets and ledger (topic `usage.reconcile_requests`).

    `only_org_id` empty: all of its organisations. `since_ms` above 0: only runs that started since then, and
    then no sums that hold the whole past, such as wallets.
    """

    v: Version = EVENT_VERSION
    request_id: Id
    tenant_id: Id
    only_org_id: OptionalId = ""
    since_ms: UnixMs = 0
    requested_at_ms: UnixMs


class ReconciledFigure(Struct, frozen=True, kw_only=True):
    """One sum by witness; `None` where a witness has nothing to say of it. Amounts are micro-credits."""

    name: Name
    recomputed: MicroCredits | None = None
    redis: MicroCredits | None = None
    ledger: MicroCredits | None = None
    clickhouse: MicroCredits | None = None


class Reconciliation(Struct, frozen=True, kw_only=True):
    """What came of a request (topic `usage.reconciliations`).

    `error` is not empty when a store could not be asked, and then nothing else means anything. Of the records
    in the log, `records_stored` are accounted for in ClickHouse or the dead letters. `behind_ms`: how old the
    oldest record was that was not applied yet; 0 when all were.
    """

    v: Version = EVENT_VERSION
    request_id: Id
    tenant_id: Id
    error: ShortText = ""
    orgs: Count = 0
    runs: Count = 0
    records: Count = 0
    records_stored: Count = 0
    different: Count = 0
    differences: Annotated[list[ShortText], Meta(max_length=MAX_TOLD)] = []
    figures: Annotated[list[ReconciledFigure], Meta(max_length=32)] = []
    in_flight: Annotated[list[ShortText], Meta(max_length=32)] = []
    behind_ms: Count = 0
    started_at_ms: UnixMs
    finished_at_ms: UnixMs
