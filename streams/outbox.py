"""What the metering script leaves in the outbox, and the ledger entries it stands for.

The worker writes little and fast: a run's change refers to the run's state, whose bytes it writes anyway. The
relay does the spelling out.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from metering.metered import MeteredRun
from metering.runs import version_of
from metering.totals import CHARGED, snapshot_of
from schemas.events import LedgerEntry, LimitEvent


class Change(Struct, array_like=True, gc=False):
    """A run changed."""

    unpriced: bool
    run: Raw


class OutboxBatch(Struct, array_like=True):
    """Everything one script call has to tell: of wallets' commands and limits, then of runs."""

    entries: list[LedgerEntry]
    limits: list[LimitEvent]
    changes: list[Change]


__all__ = ["Change", "MeteredRun", "OutboxBatch", "encode", "entries_of", "read"]

_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(OutboxBatch).decode
_decode_run = msgspec.msgpack.Decoder(MeteredRun).decode


def encode(batch: OutboxBatch) -> bytes:
    """Return a batch's bytes."""
    return _encode(batch)


def read(blob: bytes) -> tuple[list[LedgerEntry], list[LimitEvent]]:
    """Return a batch's ledger entries and limit events."""
    batch = _decode_batch(blob)
    entries = list(batch.entries)
    for change in batch.changes:
        entries += entries_of(_decode_run(change.run), unpriced=change.unpriced)
    return entries, batch.limits


def entries_of(run: MeteredRun, *, unpriced: bool = False) -> list[LedgerEntry]:
    """Return what the ledger says of a run: its usage so far, and each adjustment."""
    identity, version = run.state.identity, version_of(run.state)
    adjusted = sum(adjustment.amount_micro for adjustment in run.adjustments)
    entries = [
        LedgerEntry(
            entry_id=identity.run_id,
            version=version,
            kind="usage",
            tenant_id=identity.tenant_id,
            org_id=identity.org_id,
            amount_micro=adjusted - run.totals[CHARGED],
            account="usage",
            occurred_at_ms=identity.started_at_ms,
            reference_id=identity.run_id,
            price_version=identity.price_version,
            run=snapshot_of(run.state, run.totals, version, unpriced=unpriced),
        )
    ]
    for adjustment in run.adjustments:
        entries.append(
            LedgerEntry(
                entry_id=f"{identity.run_id}/{adjustment.request_id}",
                version=version,
                kind="adjustment",
                tenant_id=identity.tenant_id,
                org_id=identity.org_id,
                amount_micro=-adjustment.amount_micro,
                account="usage",
                occurred_at_ms=adjustment.occurred_at_ms,
                reference_id=identity.run_id,
                price_version=adjustment.price_version,
                reason=adjustment.reason,
            )
        )
    return entries
