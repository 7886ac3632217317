"""The gateway's metrics, exported by `/metrics`. Labels are drawn from fixed sets only."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Outcome = Literal[
    "admitted", "repeat", "conflict", "unchecked", "rated", "concurrency", "insufficient", "unavailable"
]
LimitSource = Literal["org_wallet", "instance_day", "instance_month"]
CutReason = Literal["credits_exhausted", "hold_exhausted"]

_ADMISSIONS = Counter("runmeter_gateway_admissions", "Requests to run, by what became of them", ["outcome"])
_REFUSED_HOLDS = Counter(
    "runmeter_gateway_holds_refused", "Holds that could not be had, by the limit", ["limit_source"]
)
_CUT_RUNS = Counter("runmeter_gateway_cut_runs", "Runs ended because credits ran out", ["reason"])

#: How long the one call to Redis takes.
ADMISSION_SECONDS = Histogram(
    "runmeter_gateway_admission_seconds",
    "Time to admit or refuse a run",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
RUNS_IN_FLIGHT = Gauge("runmeter_gateway_runs_in_flight", "Runs this gateway works on")
FAIL_OPEN = Counter("runmeter_gateway_fail_open_admissions", "Runs admitted unchecked while Redis was away")
WIDGET_BLOCKED = Counter(
    "runmeter_gateway_widget_blocked", "Requests from pages a widget's key does not name"
)

INTAKE_ACCEPTED = Counter("runmeter_gateway_intake_accepted", "Reports of runs elsewhere that were taken")
INTAKE_REJECTED = Counter("runmeter_gateway_intake_rejected", "Events of batches that were not taken")

# Children are looked up once: `labels` takes a lock.
ADMISSIONS: dict[Outcome, Counter] = {
    name: _ADMISSIONS.labels(name)
    for name in (
        "admitted",
        "repeat",
        "conflict",
        "unchecked",
        "rated",
        "concurrency",
        "insufficient",
        "unavailable",
    )
}
REFUSED_HOLDS: dict[LimitSource, Counter] = {
    name: _REFUSED_HOLDS.labels(name) for name in ("org_wallet", "instance_day", "instance_month")
}
CUT_RUNS: dict[CutReason, Counter] = {
    name: _CUT_RUNS.labels(name) for name in ("credits_exhausted", "hold_exhausted")
}
