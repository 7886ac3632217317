"""Every metric of every process, with its unit, its labels and what it is for.

Nothing is exposed that is not declared here, and everything here is: tests ask the running processes. A label
never carries a tenant, an organisation, an instance, a run or a key: what is asked about one of them is in
ClickHouse.
"""

from __future__ import annotations

from kit.metrics import serving
from kit.metrics.declared import Metric, among, bounded, count, level, spread

_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RECORDS = (1, 10, 50, 100, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 50_000)

_TOPIC = bounded("schemas.topics")
#: An exporter's role names its destination.
_WORKERS = bounded("the workers' names")
_DESTINATION = bounded("the exports file")
_PARTITION = bounded("RUNMETER_KAFKA_PARTITIONS")
_PUBLISHERS = "gateway runner relay ingestion"

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
    "metering warehouse billing exports ingestion console_api",
    "Records not applied yet",
    role=_WORKERS,
    topic=_TOPIC,
    partition=_PARTITION,
)
STALLED_SECONDS = level(
    "runmeter_stalled_seconds",
    "seconds",
    "metering warehouse billing exports console_api",
    "Longest time for which a partition with records to apply has not advanced",
    role=_WORKERS,
)
DEAD_LETTERS = count(
    "runmeter_dead_letters",
    "records",
    "metering warehouse exports ingestion",
    "Records refused for good",
    role=_WORKERS,
    reason=bounded("the workers' reasons"),
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

ALL: tuple[Metric, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Metric)),
    *serving.ALL,
)
