"""Usage added up."""

from __future__ import annotations

from msgspec import Struct


class Totals(Struct, frozen=True):
    """Counters; `started` counts every run, `runs` those that ended."""

    started: int = 0
    runs: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    limit_exceeded: int = 0
    lost: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tool_calls: int = 0
    duration_ms: int = 0
    credits_micro: int = 0

    @property
    def errors(self) -> int:
        return self.failed + self.limit_exceeded + self.lost


class TimedTotals(Totals, frozen=True):
    """Totals with the durations of the runs that ended."""

    duration_p50_ms: float = 0
    duration_p95_ms: float = 0
    duration_p99_ms: float = 0
