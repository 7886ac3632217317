"""The event that opens or closes a run, from its lease and what it used."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.directory import RunLease
from schemas.events import RunEvent, RunStatus, owner_of


def run_event(
    lease: RunLease,
    status: RunStatus,
    now_ms: int,
    totals: Mapping[str, int],
    *,
    error_code: str = "",
    end_user: str = "",
) -> RunEvent:
    """Return the run's event at `now_ms`; `totals` are named as in `metering.totals.COUNTERS`."""
    return RunEvent(
        **owner_of(lease),
        occurred_at_ms=now_ms,
        status=status,
        model=lease.model,
        tokens_in=totals["tokens_in"],
        tokens_out=totals["tokens_out"],
        tool_calls=totals["tool_calls"],
        duration_ms=max(0, now_ms - lease.started_at_ms),
        credits_micro=totals["charged"],
        streamed=lease.streamed,
        end_user=end_user,
        error_code=error_code,
    )
