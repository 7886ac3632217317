"""What the metering worker tells Prometheus. Names are a contract: dashboards and alerts use them."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

#: Records below the fences now, by this process. Its rate is the throughput.
APPLIED = Counter("runmeter_metering_applied_records", "Records applied to Redis")
#: A batch from reading its runs to the script's answer.
APPLY_SECONDS = Histogram(
    "runmeter_metering_apply_seconds",
    "Time to apply one batch",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
#: Somebody else moved the partition, or Redis went back in time: computed again, nothing was written.
REFUSED = Counter("runmeter_metering_refused_batches", "Batches the script refused because state had moved")
#: The reader stood above a fence and was sent back to it.
SEEKS = Counter("runmeter_metering_seeks", "Times the reader was sent back to a fence")
#: Changes of runs with a model that is not in their price book: charged the default, to be looked at.
UNPRICED = Counter("runmeter_metering_unpriced_changes", "Changes of runs priced by the default")
#: Wallets that a batch left below zero: expected in soft mode only.
BELOW_ZERO = Counter("runmeter_metering_wallets_below_zero", "Writes of wallets with a negative balance")
