"""What an exporter tells Prometheus. Its lag is `runmeter_lag_records` with the role `export-<name>`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

#: Records the receiver took, repeats included.
DELIVERED = Counter("runmeter_exports_delivered_records", "Records the receiver took", ["destination"])
#: Records that became dead letters, by reason.
REFUSED = Counter("runmeter_exports_refused_records", "Records refused", ["destination", "reason"])
#: Attempts that are made again.
FAILED = Counter("runmeter_exports_failed_attempts", "Attempts that failed", ["destination"])
#: Partitions whose batch waits for the receiver. Above 0 for long: look at `runmeter exports status`.
FAILING = Gauge("runmeter_exports_failing_partitions", "Partitions that wait", ["destination"])
DELIVER_SECONDS = Histogram(
    "runmeter_exports_deliver_seconds",
    "Time of one attempt",
    ["destination"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
