"""The gateway's metrics, exported by `/metrics`; declared in `kit.metrics.serving`."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter

from kit.metrics import counter, gauge, histogram, serving
from schemas.events import CLOSING_STATUSES, RunStatus

Outcome = Literal[
    "admitted", "repeat", "conflict", "unchecked", "rated", "concurrency", "insufficient", "unavailable"
]
LimitSource = Literal["org_wallet", "instance_day", "instance_month"]
CutReason = Literal["credits_exhausted", "hold_exhausted"]

ADMISSION_SECONDS = histogram(serving.ADMISSION_SECONDS)
RUNS_IN_FLIGHT = gauge(serving.RUNS_IN_FLIGHT)
HELD_MICRO = gauge(serving.HELD_MICRO)
RUN_SECONDS = histogram(serving.RUN_SECONDS)
FAIL_OPEN = counter(serving.FAIL_OPEN)
WIDGET_BLOCKED = counter(serving.WIDGET_BLOCKED)
INTAKE_ACCEPTED = counter(serving.INTAKE_ACCEPTED)
INTAKE_REJECTED = counter(serving.INTAKE_REJECTED)

# Children are looked up once: `labels` takes a lock.
_OUTCOMES: tuple[Outcome, ...] = (
    "admitted",
    "repeat",
    "conflict",
    "unchecked",
    "rated",
    "concurrency",
    "insufficient",
    "unavailable",
)
_SOURCES: tuple[LimitSource, ...] = ("org_wallet", "instance_day", "instance_month")
_CUTS: tuple[CutReason, ...] = ("credits_exhausted", "hold_exhausted")
ADMISSIONS: dict[Outcome, Counter] = {n: counter(serving.ADMISSIONS).labels(n) for n in _OUTCOMES}
REFUSED_HOLDS: dict[LimitSource, Counter] = {
    name: counter(serving.REFUSED_HOLDS).labels(name) for name in _SOURCES
}
CUT_RUNS: dict[CutReason, Counter] = {name: counter(serving.CUT_RUNS).labels(name) for name in _CUTS}
ENDED: dict[RunStatus, Counter] = {
    name: counter(serving.RUNS_ENDED).labels(name) for name in CLOSING_STATUSES
}
UNMETERED = counter(serving.RUNS_ENDED).labels("unmetered")
