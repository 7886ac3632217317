"""Ledger entries → billing records. Pure: a record is a function of the log up to its entry."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from schemas.billing import MEASURES, BillingRecord
from schemas.events import CLOSING_STATUSES, LedgerEntry, RunSnapshot


class Billed(Struct, frozen=True, array_like=True):
    """What a run's latest record said: enough to tell what the next one changes."""

    revision: int
    version: int
    status: str
    model: str
    price_version: str
    #: In the order of `MEASURES`.
    totals: tuple[int, ...]


def billed(record: BillingRecord) -> Billed:
    """Return what is remembered of a record."""
    totals = tuple(getattr(record, name) for name in MEASURES)
    return Billed(record.revision, record.version, record.status, record.model, record.price_version, totals)


def derive(
    before: Billed | None, entry: LedgerEntry, ledger_offset: int, recorded_at_ms: int
) -> BillingRecord | None:
    """Return the record that an entry makes after the run's record `before`; `None` when it says nothing new.

    Of a run that goes on nothing is billed. An entry of an older version than was billed is a repeat: after a
    Redis that lost its last second the log holds some again, and the newest once more behind them. One of the
    same version is taken, as the warehouse takes it: of equals, the one that comes last in the log is so.
    """
    run = entry.run
    if run is None or entry.kind != "usage" or run.status not in CLOSING_STATUSES:
        return None
    if before is not None and run.version < before.version:
        return None
    totals = _totals(run)
    facts = (run.status, run.model, run.price_version, totals)
    if before is not None and facts == (before.status, before.model, before.price_version, before.totals):
        return None
    earlier = before.totals if before is not None else (0,) * len(MEASURES)
    measured: dict[str, Any] = dict(zip(MEASURES, totals, strict=True))
    measured |= {
        f"{name}_change": new - old for name, new, old in zip(MEASURES, totals, earlier, strict=True)
    }
    revision = before.revision + 1 if before is not None else 1
    return BillingRecord(
        record_id=f"{run.run_id}.{revision}",
        revision=revision,
        tenant_id=entry.tenant_id,
        org_id=entry.org_id,
        instance_id=run.instance_id,
        run_id=run.run_id,
        version=run.version,
        channel=run.channel,
        key_id=run.key_id,
        model=run.model,
        status=run.status,
        price_version=run.price_version,
        estimated=run.estimated,
        unpriced=run.unpriced,
        started_at_ms=run.started_at_ms,
        closed_at_ms=run.closed_at_ms,
        # A correction counts when it is made: what was invoiced before is not written anew.
        occurred_at_ms=run.started_at_ms if before is None else recorded_at_ms,
        recorded_at_ms=recorded_at_ms,
        **measured,
        ledger_offset=ledger_offset,
    )


def _totals(run: RunSnapshot) -> tuple[int, ...]:
    return (1, run.tokens_in, run.tokens_out, run.tool_calls, run.duration_ms, run.charged_micro)
