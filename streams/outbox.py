"""What the metering script leaves in the outbox, and the ledger entries it stands for.

The worker writes little and fast: a run's change refers to the run's state, whose bytes it writes anyway. The
relay does the spelling out.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from metering.runs import RunState, version_of
from metering.totals import Totals, snapshot_of
from schemas.events import GrantEvent, LedgerEntry


class MeteredRun(Struct, array_like=True):
    """A run as stored: its merged events, and what it already added to counters and wallet."""

    state: RunState
    totals: Totals


class Change(Struct, array_like=True, gc=False):
    """A run changed, and took `charged_micro` more from its wallet."""

    charged_micro: int
    unpriced: bool
    run: Raw


class OutboxBatch(Struct, array_like=True):
    """Everything one script call did to wallets, in order: grants first."""

    grants: list[GrantEvent]
    changes: list[Change]


_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(OutboxBatch).decode
_decode_run = msgspec.msgpack.Decoder(MeteredRun).decode


def encode(batch: OutboxBatch) -> bytes:
    """Return a batch's bytes."""
    return _encode(batch)


def entries(partition: int, seq: int, blob: bytes) -> list[LedgerEntry]:
    """Return a batch's ledger entries. Ids are `partition-seq-index`: the same batch has the same ids."""
    batch = _decode_batch(blob)
    found = [_grant_entry(partition, seq, index, grant) for index, grant in enumerate(batch.grants)]
    for change in batch.changes:
        found.append(_usage_entry(partition, seq, len(found), change))
    return found


def _grant_entry(partition: int, seq: int, index: int, grant: GrantEvent) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{partition}-{seq}-{index}",
        partition=partition,
        seq=seq,
        index=index,
        kind="grant",
        tenant_id=grant.tenant_id,
        org_id=grant.org_id,
        amount_micro=grant.amount_micro,
        occurred_at_ms=grant.occurred_at_ms,
        reference_id=grant.grant_id,
        reason=grant.reason,
    )


def _usage_entry(partition: int, seq: int, index: int, change: Change) -> LedgerEntry:
    run = _decode_run(change.run)
    identity = run.state.identity
    return LedgerEntry(
        entry_id=f"{partition}-{seq}-{index}",
        partition=partition,
        seq=seq,
        index=index,
        kind="usage",
        tenant_id=identity.tenant_id,
        org_id=identity.org_id,
        amount_micro=-change.charged_micro,
        occurred_at_ms=identity.started_at_ms,
        reference_id=identity.run_id,
        run=snapshot_of(run.state, run.totals, version_of(run.state), unpriced=change.unpriced),
    )
