"""What an exporter tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

from kit.metrics import counter, gauge, histogram, registry

DELIVERED = counter(registry.EXPORTS_DELIVERED)
REFUSED = counter(registry.EXPORTS_REFUSED)
FAILED = counter(registry.EXPORTS_FAILED)
#: Above 0 for long: look at `runmeter exports status`.
FAILING = gauge(registry.EXPORTS_FAILING)
DELIVER_SECONDS = histogram(registry.EXPORTS_SECONDS)
