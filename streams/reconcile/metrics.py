"""What reconciliation tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

import logging

from kit.metrics import gauge, registry
from streams.reconcile.report import Report

log = logging.getLogger(__name__)

_LOGGED = 20


class Told:
    """The last report, as metrics."""

    def __init__(self) -> None:
        self._completeness = gauge(registry.COMPLETENESS)
        self._freshness = gauge(registry.FRESHNESS)
        self._differences = gauge(registry.DIFFERENCE)
        self._charged = gauge(registry.CHARGED_DIFFERENCE)
        self._overdrawn = gauge(registry.OVERDRAWN)
        self._held = gauge(registry.RECONCILE_HELD)
        self._seconds = gauge(registry.RECONCILE_SECONDS)
        self._ended = gauge(registry.RECONCILED_AT)
        self._once = False

    def record(self, report: Report, now_ms: int) -> None:
        """Tell what was found; name differences in the log, too."""
        self._completeness.set(report.records_stored / report.records if report.records else 1)
        self._freshness.set(report.behind_ms / 1000)
        self._differences.set(report.different)
        self._charged.set(charged_difference(report))
        self._overdrawn.set(report.overdrawn)
        self._held.set(report.held_micro)
        self._seconds.set(report.seconds)
        self._ended.set(now_ms / 1000)
        self._once = True
        for difference in report.differences[:_LOGGED]:
            log.error("stores differ", extra={"difference": difference})

    async def readiness(self) -> dict[str, str]:
        """Return what is wrong: nothing, once there was a report."""
        return {} if self._once else {"reconcile": "not done yet"}


def charged_difference(report: Report) -> int:
    """Return how far the witnesses' sums of charges lie apart."""
    said = [
        amount
        for figure in report.figures
        if figure.name == "charged"
        for amount in (figure.recomputed, figure.redis, figure.ledger, figure.clickhouse)
        if amount is not None
    ]
    return max(said) - min(said) if said else 0
