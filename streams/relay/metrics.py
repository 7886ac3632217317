"""What the relay tells Prometheus of reconciliations. Names are a contract: dashboards use them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

#: Of the records in the log, the share that history or the dead letters account for. Below 1: look.
COMPLETENESS = Gauge("runmeter_reconcile_completeness_ratio", "Records accounted for", ["tenant"])
#: How old the oldest record was that was not applied when it was looked.
FRESHNESS = Gauge("runmeter_reconcile_behind_seconds", "Age of the oldest record not applied", ["tenant"])
#: Anything but 0 is an alarm: some witness contradicts what was recorded. Not told while records were under
#: way, because stores that are read one after the other then differ by nature.
DIFFERENCES = Gauge("runmeter_reconcile_differences", "Differences found", ["tenant"])
#: When a tenant was last reconciled, so that silence is seen too.
FINISHED = Gauge("runmeter_reconcile_finished_timestamp_seconds", "End of the last one", ["tenant"])
#: A store was away, or it took too long: nothing is known.
FAILED = Counter("runmeter_reconcile_failed", "Reconciliations that could not be done", ["tenant"])
