"""Every metric of every process, with its unit, its labels and what it is for.

Nothing is exposed that is not declared here, and everything here is: tests ask the running processes. A label
never carries a tenant, an organisation, an instance, a run or a key: what is asked about one of them is in
ClickHouse.
"""

from __future__ import annotations

from kit.metrics.declared import Metric, among, bounded, count, level, spread
from schemas.events import CLOSING_STATUSES

_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RECORDS = (1, 10, 50, 100, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 50_000)

_TOPIC = bounded("schemas.topics")
#: An exporter's role names its destination.
_WORKERS = bounded("the workers' names")
_DESTINATION = bounded("the exports file")
_PARTITION = bounded("RUNMETER_KAFKA_PARTITIONS")
_PUBLISHERS = "gateway runner relay ingestion"
_LIMITS = among("org_wallet", "instance_day", "instance_month")

# --- publishers: who tells Kafka what was used --------------------------------------------------------------
PUBLISHED = count("runmeter_published_events", "events", _PUBLISHERS, "Events Kafka has acknowledged")
SPOOLED = count("runmeter_spooled_events", "events", _PUBLISHERS, "Events written to disk instead of Kafka")
UNRECORDED = count(
    "runmeter_unrecorded_events", "events", _PUBLISHERS, "Events that neither Kafka nor the disk took"
)
SPOOL_BYTES = level("runmeter_spool_bytes", "bytes", _PUBLISHERS, "Events on disk that wait for Kafka")
SPOOL_LIMIT = level("runmeter_spool_limit_bytes", "bytes", _PUBLISHERS, "The most the spool may hold")
KAFKA_AWAY = level("runmeter_kafka_away", "1", _PUBLISHERS, "Whether events go to the spool")

# --- workers -----------------------------------------------------------------------------------------------
LAG = level(
    "runmeter_lag_records",
    "records",
    "metering warehouse billing exports ingestion",
    "Records not applied yet",
    role=_WORKERS,
    topic=_TOPIC,
    partition=_PARTITION,
)
STALLED_SECONDS = level(
    "runmeter_stalled_seconds",
    "seconds",
    "metering warehouse billing exports",
    "Longest time for which a partition with records to apply has not advanced",
    role=_WORKERS,
)
DEAD_LETTERS = count(
    "runmeter_dead_letters",
    "records",
    "metering warehouse ingestion",
    "Records refused for good",
    role=among("metering", "warehouse", "ingestion"),
    reason=among(
        "empty_value",
        "undecodable",
        "invalid_event",
        "invalid_correction",
        "invalid_command",
        "wrong_partition",
        "unknown_price_version",
        "too_late",
    ),
)

METERING_APPLIED = count(
    "runmeter_metering_applied_records", "records", "metering", "Records applied to Redis"
)
METERING_BATCH = spread(
    "runmeter_metering_batch_records", "records", "metering", "Records applied by one script", _RECORDS
)
METERING_APPLY_SECONDS = spread(
    "runmeter_metering_apply_seconds",
    "seconds",
    "metering",
    "Time to apply one batch, from reading its runs to the script's answer",
    (0.002, *_MILLISECONDS[2:]),
)
METERING_AGE_SECONDS = spread(
    "runmeter_metering_age_seconds",
    "seconds",
    "metering",
    "Age of a batch's newest record when it was applied",
    _MILLISECONDS,
)
METERING_REFUSED = count(
    "runmeter_metering_refused_batches",
    "batches",
    "metering",
    "Batches computed again because state had moved",
)
METERING_SEEKS = count(
    "runmeter_metering_seeks",
    "seeks",
    "metering",
    "Times the reader was sent back to a fence",
    reason=among("gap", "rewind"),
)
METERING_UNPRICED = count(
    "runmeter_metering_unpriced_changes", "changes", "metering", "Changes of runs priced by the default"
)
METERING_BELOW_ZERO = count(
    "runmeter_metering_wallets_below_zero",
    "writes",
    "metering",
    "Writes of wallets with a negative balance",
)
METERING_REDIS_ERRORS = count(
    "runmeter_metering_redis_errors", "errors", "metering", "Batches put off because Redis did not answer"
)

WAREHOUSE_BATCH = spread(
    "runmeter_warehouse_batch_records", "records", "warehouse", "Records of one planned insert", _RECORDS
)
WAREHOUSE_INSERT_SECONDS = spread(
    "runmeter_warehouse_insert_seconds",
    "seconds",
    "warehouse",
    "Time to insert one plan's rows, repeats included",
    (0.01, 0.025, 0.05, *_SECONDS),
)
WAREHOUSE_AGE_SECONDS = spread(
    "runmeter_warehouse_age_seconds",
    "seconds",
    "warehouse",
    "Age of a plan's newest record when ClickHouse had it",
    _SECONDS,
)
WAREHOUSE_FAILED = count(
    "runmeter_warehouse_failed_inserts", "inserts", "warehouse", "Inserts to be repeated"
)
WAREHOUSE_AWAY = level(
    "runmeter_warehouse_clickhouse_away", "1", "warehouse", "Whether the last insert failed"
)
WAREHOUSE_SEEKS = count(
    "runmeter_warehouse_seeks", "seeks", "warehouse", "Times the reader was sent back over a gap"
)
WAREHOUSE_REFUSED_PLANS = count(
    "runmeter_warehouse_refused_plans", "plans", "warehouse", "Plans that Kafka did not take at once"
)

RELAY_PUBLISHED = count("runmeter_relay_published_entries", "entries", "relay", "Ledger entries published")
RELAY_OUTBOX = level(
    "runmeter_relay_outbox_batches", "batches", "relay", "Changes that wait in Redis to be published"
)
RELAY_LEASES = level(
    "runmeter_relay_open_runs", "runs", "relay", "Runs in flight at all gateways: each holds credits"
)
RELAY_REAPED = count(
    "runmeter_relay_reaped_runs", "runs", "relay", "Runs closed because their gateway went away"
)

RELAY_RECONCILE_COMPLETENESS = level(
    "runmeter_relay_reconcile_completeness_ratio",
    "1",
    "relay",
    "Least share of a tenant's records that the history accounts for, of those reconciled here",
)
RELAY_RECONCILE_FRESHNESS = level(
    "runmeter_relay_reconcile_freshness_seconds",
    "seconds",
    "relay",
    "Age of the oldest record that was not applied when it was looked",
)
RELAY_RECONCILE_DIFFERENCES = level(
    "runmeter_relay_reconcile_differences",
    "differences",
    "relay",
    "What the tenants' last reconciliations found different: must be 0",
)
RELAY_RECONCILED_AT = level(
    "runmeter_relay_reconcile_last_success_timestamp_seconds",
    "seconds",
    "relay",
    "Unix time at which a tenant was reconciled last",
)
RELAY_RECONCILE_FAILED = count(
    "runmeter_relay_reconcile_failed", "reconciliations", "relay", "Reconciliations that could not be done"
)

# --- exports -----------------------------------------------------------------------------------------------
EXPORTS_DELIVERED = count(
    "runmeter_exports_delivered_records",
    "records",
    "exports",
    "Records the receiver took, repeats included",
    destination=_DESTINATION,
)
EXPORTS_REFUSED = count(
    "runmeter_exports_refused_records",
    "records",
    "exports",
    "Records that became dead letters",
    destination=_DESTINATION,
    reason=bounded("the exporters' reasons"),
)
EXPORTS_FAILED = count(
    "runmeter_exports_failed_attempts",
    "attempts",
    "exports",
    "Deliveries that are made again",
    destination=_DESTINATION,
)
EXPORTS_FAILING = level(
    "runmeter_exports_failing_partitions",
    "partitions",
    "exports",
    "Partitions whose batch waits for the receiver",
    destination=_DESTINATION,
)
EXPORTS_SECONDS = spread(
    "runmeter_exports_deliver_seconds",
    "seconds",
    "exports",
    "Time of one delivery",
    (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    destination=_DESTINATION,
)

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
    kind=bounded("the kinds of alerts"),
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

# --- ingestion ---------------------------------------------------------------------------------------------
SOURCES = count(
    "runmeter_ingestion_sources",
    "requests",
    "ingestion",
    "Requests about sources that ended, by how",
    outcome=among("ready", "failed", "deleted"),
)
SOURCES_WORKING = level(
    "runmeter_ingestion_sources_in_progress", "requests", "ingestion", "Requests being worked on"
)
SOURCE_RETRIES = count(
    "runmeter_ingestion_retries", "calls", "ingestion", "Calls repeated because a part was away"
)
SOURCE_PAGES = count("runmeter_ingestion_pages", "pages", "ingestion", "Pages that became readable")
SOURCE_CHUNKS = count("runmeter_ingestion_chunks", "chunks", "ingestion", "Chunks that became readable")
SOURCE_TOKENS = count(
    "runmeter_ingestion_embedded_tokens", "tokens", "ingestion", "Tokens embedded of what became readable"
)

# --- reconcile ---------------------------------------------------------------------------------------------
COMPLETENESS = level(
    "runmeter_reconcile_completeness_ratio",
    "1",
    "reconcile",
    "Share of the log's records that the history accounts for: 1 when nothing is missing",
)
FRESHNESS = level(
    "runmeter_reconcile_freshness_seconds",
    "seconds",
    "reconcile",
    "Age of the newest record the history holds where it lacks some; 0 where it holds all",
)
DIFFERENCE = level(
    "runmeter_reconcile_differences",
    "differences",
    "reconcile",
    "What the last reconciliation found different: must be 0",
)
CHARGED_DIFFERENCE = level(
    "runmeter_reconcile_charged_difference_micro",
    "micro-credits",
    "reconcile",
    "Largest distance of a store's charges from those computed anew: must be 0",
)
OVERDRAWN = level(
    "runmeter_reconcile_overdrawn_wallets",
    "wallets",
    "reconcile",
    "Wallets below zero: must be 0 where all plans are hard",
)
RECONCILE_HELD = level(
    "runmeter_reconcile_held_micro", "micro-credits", "reconcile", "Credits held by all wallets together"
)
RECONCILE_SECONDS = level(
    "runmeter_reconcile_seconds", "seconds", "reconcile", "How long the last reconciliation took"
)
RECONCILED_AT = level(
    "runmeter_reconcile_last_success_timestamp_seconds",
    "seconds",
    "reconcile",
    "Unix time at which the last reconciliation ended, whatever it found",
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
