"""What the relay tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

import time

from kit.metrics import counter, gauge, registry

PUBLISHED = counter(registry.RELAY_PUBLISHED)
OUTBOX = gauge(registry.RELAY_OUTBOX)
OPEN_RUNS = gauge(registry.RELAY_LEASES)
REAPED = counter(registry.RELAY_REAPED)
#: Over the tenants that this relay reconciled: the least, the most, and all together.
COMPLETENESS = gauge(registry.RELAY_RECONCILE_COMPLETENESS)
FRESHNESS = gauge(registry.RELAY_RECONCILE_FRESHNESS)
#: Not told while records were under way: stores that are read one after the other then differ by nature.
DIFFERENCES = gauge(registry.RELAY_RECONCILE_DIFFERENCES)
#: So that silence is seen, too.
FINISHED = gauge(registry.RELAY_RECONCILED_AT)
FAILED = counter(registry.RELAY_RECONCILE_FAILED)

# Before the first one nothing is known to be missing, and silence begins with the process.
COMPLETENESS.set(1)
FINISHED.set(time.time())
