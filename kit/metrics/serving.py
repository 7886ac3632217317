"""Metrics of the processes that answer requests: gateway, runner, console API. `registry` lists them too."""

from __future__ import annotations

from kit.metrics.declared import Metric, among, bounded, count, level, spread
from schemas.events import CLOSING_STATUSES

_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LANES = among("kafka", "redis", "records")
_LIMITS = among("org_wallet", "instance_day", "instance_month")

# --- gateway -----------------------------------------------------------------------------------------------
ADMISSIONS = count(
    "runmeter_gateway_admissions",
    "requests",
    "gateway",
    "Requests to run, by what became of them",
    outcome=among(
        "admitted",
        "repeat",
        "conflict",
        "unchecked",
        "rated",
        "concurrency",
        "insufficient",
        "unavailable",
    ),
)
ADMISSION_SECONDS = spread(
    "runmeter_gateway_admission_seconds",
    "seconds",
    "gateway",
    "Time of the one call to Redis that admits or refuses a run",
    _MILLISECONDS[:11],
)
RUNS_IN_FLIGHT = level("runmeter_gateway_runs_in_flight", "runs", "gateway", "Runs this gateway works on")
HELD_MICRO = level(
    "runmeter_gateway_held_micro",
    "micro-credits",
    "gateway",
    "Credits reserved for the runs this gateway works on",
)
RUNS_ENDED = count(
    "runmeter_gateway_ended_runs",
    "runs",
    "gateway",
    "Runs that ended, by how; `unmetered` when their usage could not be recorded",
    status=among(*CLOSING_STATUSES, "unmetered"),
)
RUN_SECONDS = spread(
    "runmeter_gateway_run_seconds", "seconds", "gateway", "Time from admission to the closing event", _SECONDS
)
REFUSED_HOLDS = count(
    "runmeter_gateway_holds_refused",
    "holds",
    "gateway",
    "Holds that could not be had, by the limit",
    limit_source=_LIMITS,
)
CUT_RUNS = count(
    "runmeter_gateway_cut_runs",
    "runs",
    "gateway",
    "Runs ended because credits ran out",
    reason=among("credits_exhausted", "hold_exhausted"),
)
FAIL_OPEN = count(
    "runmeter_gateway_fail_open_admissions",
    "runs",
    "gateway",
    "Runs admitted unchecked while Redis was away",
)
WIDGET_BLOCKED = count(
    "runmeter_gateway_widget_blocked", "requests", "gateway", "Requests from pages a widget does not name"
)
INTAKE_ACCEPTED = count(
    "runmeter_gateway_intake_accepted", "events", "gateway", "Reports of runs elsewhere that were taken"
)
INTAKE_REJECTED = count(
    "runmeter_gateway_intake_rejected", "events", "gateway", "Events of batches that were not taken"
)

# --- runner ------------------------------------------------------------------------------------------------
EXECUTIONS = level("runmeter_runner_runs_in_flight", "runs", "runner", "Runs this runner executes")
MODEL_CALLS = count(
    "runmeter_runner_model_calls",
    "calls",
    "runner",
    "Model calls that ended, by how",
    outcome=among("answered", "failed", "left"),
)
MODEL_SECONDS = spread(
    "runmeter_runner_model_seconds", "seconds", "runner", "Time of one model call", _SECONDS
)
MODEL_FIRST_SECONDS = spread(
    "runmeter_runner_first_chunk_seconds",
    "seconds",
    "runner",
    "Time until a model says anything",
    (0.01, 0.025, 0.05, *_SECONDS[:7]),
)
TOOL_CALLS = count(
    "runmeter_runner_tool_calls",
    "calls",
    "runner",
    "Tool calls, by how they ended",
    status=among("ok", "error", "timeout"),
)

# --- console API -------------------------------------------------------------------------------------------
API_REQUESTS = count(
    "runmeter_console_api_requests",
    "requests",
    "console_api",
    "Requests answered",
    method=bounded("HTTP's methods"),
    route=bounded("the routes' templates"),
    status=bounded("HTTP's statuses"),
)
API_SECONDS = spread(
    "runmeter_console_api_request_seconds",
    "seconds",
    "console_api",
    "Time to the end of an answer, live streams left out",
    _MILLISECONDS[2:],
    route=bounded("the routes' templates"),
)
LIVE_VIEWERS = level("runmeter_console_api_live_viewers", "streams", "console_api", "Open live streams")
LIVE_HUBS = level("runmeter_console_api_live_hubs", "instances", "console_api", "Instances being watched")
LIVE_POLLS = count(
    "runmeter_console_api_live_polls",
    "reads",
    "console_api",
    "Reads of live counters, of recent windows or of all because an older one changed",
    extent=among("recent", "all"),
)
LIVE_POLL_SECONDS = spread(
    "runmeter_console_api_live_poll_seconds",
    "seconds",
    "console_api",
    "Time of one read of live counters: above the interval charts are stale",
    (*_MILLISECONDS[:8], 1),
)

OLDER_SEALS = level(
    "runmeter_console_api_secrets_sealed_with_older_keys",
    "secrets",
    "console_api",
    "Secrets that are not sealed with the newest key yet",
)
ALERTS = count(
    "runmeter_console_api_alerts",
    "alerts",
    "console_api",
    "Alerts written down, by kind",
    kind=among("credits", "cap", "anomaly", "forecast", "payment"),
)
ALERT_DELIVERIES = count(
    "runmeter_console_api_alert_deliveries",
    "attempts",
    "console_api",
    "Attempts to deliver an alert",
    outcome=among("sent", "retried", "dead", "skipped"),
)
ALERTS_WAITING = level(
    "runmeter_console_api_alerts_waiting", "messages", "console_api", "Messages of alerts that wait"
)
OUTBOX_ROWS = level(
    "runmeter_console_api_outbox_rows",
    "rows",
    "console_api",
    "Changes of the control plane that are not sent on yet",
    lane=_LANES,
)
OUTBOX_AGE_SECONDS = level(
    "runmeter_console_api_outbox_age_seconds",
    "seconds",
    "console_api",
    "Age of the oldest change that is not sent on yet",
    lane=_LANES,
)
OUTBOX_PARKED = level(
    "runmeter_console_api_outbox_parked_rows", "rows", "console_api", "Changes that can never be sent on"
)
ORDERS_STUCK = level(
    "runmeter_console_api_orders_stuck",
    "orders",
    "console_api",
    "Orders that failed, or were paid ten minutes ago and are not provisioned",
    state=among("failed", "unprovisioned"),
)
WEBHOOKS_FAILED = level(
    "runmeter_console_api_webhooks_failed",
    "deliveries",
    "console_api",
    "Deliveries of payment providers that failed, of the last seven days",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
