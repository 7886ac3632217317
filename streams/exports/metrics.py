"""What an exporter tells Prometheus; declared in `kit.metrics.registry`, made with the exporter."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from kit.metrics import counter, gauge, histogram, registry
from streams.dead_letters import label_of
from streams.exports.port import REASONS


class ExportMetrics:
    """The metrics of one destination."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._refused = counter(registry.EXPORTS_REFUSED)
        for reason in REASONS:
            self._refused.labels(destination, reason)
        self.delivered: Counter = counter(registry.EXPORTS_DELIVERED).labels(destination)
        self.failed: Counter = counter(registry.EXPORTS_FAILED).labels(destination)
        #: Above 0 for long: look at `runmeter exports status`.
        self.failing: Gauge = gauge(registry.EXPORTS_FAILING).labels(destination)
        self.seconds: Histogram = histogram(registry.EXPORTS_SECONDS).labels(destination)

    def refused(self, reason: str) -> None:
        """Count a record that became a dead letter."""
        self._refused.labels(self._destination, label_of(reason)).inc()


@cache
def of(destination: str) -> ExportMetrics:
    """Return a destination's metrics, the same ones for all who ask."""
    return ExportMetrics(destination)
