"""What every process tells Prometheus: declared once in `registry`, built here, never anywhere else."""

from __future__ import annotations

from functools import cache
from itertools import product

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from kit.metrics.declared import Kind, Metric

__all__ = ["Metric", "counter", "gauge", "histogram"]

# A series more for each counter and histogram, that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


@cache
def counter(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Counter:
    """Return the counter of a declaration, the same one for all who ask.

    Where the values of all labels are declared, each combination is there from the start, at 0: of a series
    that is first seen with its count in it `increase` is 0, and an alert misses the first event.
    """
    _expect(metric, "counter")
    made = Counter(metric.name, metric.meaning, metric.label_names, registry=registry)
    if metric.labels:
        for values in product(*(bound.values for _, bound in metric.labels)):
            made.labels(*values)
    return made


@cache
def gauge(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Gauge:
    """Return the gauge of a declaration, the same one for all who ask."""
    _expect(metric, "gauge")
    return Gauge(metric.name, metric.meaning, metric.label_names, registry=registry)


@cache
def histogram(metric: Metric, registry: CollectorRegistry = REGISTRY) -> Histogram:
    """Return the histogram of a declaration, the same one for all who ask."""
    _expect(metric, "histogram")
    return Histogram(
        metric.name, metric.meaning, metric.label_names, registry=registry, buckets=metric.buckets
    )


def _expect(metric: Metric, kind: Kind) -> None:
    if metric.kind != kind:
        raise TypeError(f"{metric.name} is declared as a {metric.kind}, not as a {kind}")
