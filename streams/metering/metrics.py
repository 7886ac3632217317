"""What the metering worker tells Prometheus; declared in `kit.metrics.registry`."""

from __future__ import annotations

from kit.metrics import counter, histogram, registry

#: Records below the fences now, by this process. Its rate is the throughput.
APPLIED = counter(registry.METERING_APPLIED)
BATCH = histogram(registry.METERING_BATCH)
APPLY_SECONDS = histogram(registry.METERING_APPLY_SECONDS)
AGE_SECONDS = histogram(registry.METERING_AGE_SECONDS)
#: Somebody else moved the partition, or Redis went back in time: computed again, nothing was written.
REFUSED = counter(registry.METERING_REFUSED)
#: Records between the fence and a batch were missing.
GAPS = counter(registry.METERING_SEEKS).labels("gap")
#: The reader stood above a fence that Redis took back.
REWINDS = counter(registry.METERING_SEEKS).labels("rewind")
#: Changes of runs with a model that is not in their price book: charged the default, to be looked at.
UNPRICED = counter(registry.METERING_UNPRICED)
#: Wallets that a batch left below zero: expected in soft mode only.
BELOW_ZERO = counter(registry.METERING_BELOW_ZERO)
REDIS_ERRORS = counter(registry.METERING_REDIS_ERRORS)
