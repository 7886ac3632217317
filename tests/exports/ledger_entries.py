"""Ledger entries as the relay writes them: facts of runs so far."""

from __future__ import annotations

import time
from typing import Any

from schemas.events import LedgerEntry, RunSnapshot

#: An hour ago: runs are billed in the minute they started in, and that is not in the future.
NOW_MS = time.time_ns() // 1_000_000 - 3_600_000


def entry(run_id: str, version: int = 5, status: str = "completed", **changed: Any) -> LedgerEntry:
    """Return a run's usage entry: by default closed, 100 tokens in, 30 out, one tool call, 227 charged."""
    org_id = changed.pop("org_id", "org-0")
    tenant_id = changed.pop("tenant_id", "acme")
    measured = {
        "tokens_in": 100,
        "tokens_out": 30,
        "tool_calls": 1,
        "duration_ms": 250,
        "charged_micro": 227,
        "started_at_ms": NOW_MS,
        "closed_at_ms": NOW_MS + 250 if status != "started" else 0,
        "model": "m",
        "price_version": "book-1",
    }
    run = RunSnapshot(
        instance_id=f"inst-{org_id}",
        run_id=run_id,
        version=version,
        status=status,  # type: ignore[arg-type]
        channel="api",
        **{**measured, **changed},  # type: ignore[arg-type]
    )
    return LedgerEntry(
        entry_id=run_id,
        version=version,
        kind="usage",
        tenant_id=tenant_id,
        org_id=org_id,
        amount_micro=-run.charged_micro,
        account="usage",
        occurred_at_ms=run.started_at_ms,
        reference_id=run_id,
        price_version=run.price_version,
        run=run,
    )
