"""What the warehouse worker tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

from kit.metrics import counter, gauge, histogram, registry

BATCH = histogram(registry.WAREHOUSE_BATCH)
INSERT_SECONDS = histogram(registry.WAREHOUSE_INSERT_SECONDS)
AGE_SECONDS = histogram(registry.WAREHOUSE_AGE_SECONDS)
FAILED = counter(registry.WAREHOUSE_FAILED)
AWAY = gauge(registry.WAREHOUSE_AWAY)
SEEKS = counter(registry.WAREHOUSE_SEEKS)
REFUSED_PLANS = counter(registry.WAREHOUSE_REFUSED_PLANS)
