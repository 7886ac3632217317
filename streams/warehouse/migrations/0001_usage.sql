-- Raw events and one row per run.
--
-- ORDER BY starts with tenant and org because every read binds both; then instance and start, the order in
-- which dashboards scan. `non_replicated_deduplication_window` makes a re-sent batch with the same token a
-- no-op (it is 0, off, by default). Money is integer micro-credits. Times are UTC.

CREATE TABLE run_events
(
    tenant_id LowCardinality(String), org_id String, instance_id String, run_id String,
    channel LowCardinality(String), key_id String, price_version LowCardinality(String),
    started_at DateTime64(3, 'UTC'), occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    status LowCardinality(String), model LowCardinality(String),
    tokens_in UInt64, tokens_out UInt64, duration_ms UInt64, tool_calls UInt64, credits_micro Int64,
    streamed Bool, end_user String, error_code LowCardinality(String),
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (tenant_id, org_id, instance_id, started_at, run_id)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE token_events
(
    tenant_id LowCardinality(String), org_id String, instance_id String, run_id String,
    channel LowCardinality(String), key_id String, price_version LowCardinality(String),
    started_at DateTime64(3, 'UTC'), occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    call_id String, seq UInt64, model LowCardinality(String),
    input_uncached UInt64, cache_read UInt64, cache_write UInt64, output UInt64, reasoning UInt64,
    final Bool, source LowCardinality(String),
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (tenant_id, org_id, instance_id, started_at, run_id, call_id, seq)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE tool_call_events
(
    tenant_id LowCardinality(String), org_id String, instance_id String, run_id String,
    channel LowCardinality(String), key_id String, price_version LowCardinality(String),
    started_at DateTime64(3, 'UTC'), occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    tool_call_id String, tool LowCardinality(String), duration_ms UInt64, status LowCardinality(String),
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (tenant_id, org_id, instance_id, started_at, run_id, tool_call_id)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE ledger
(
    tenant_id LowCardinality(String), org_id String,
    entry_id String, kind LowCardinality(String), amount_micro Int64,
    occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    reference_id String, reason String,
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, org_id, occurred_at, entry_id)
SETTINGS non_replicated_deduplication_window = 100000;

-- One row per run, folded by version: read it with FINAL, or with argMax(…, version); never count raw rows.
CREATE TABLE runs
(
    tenant_id LowCardinality(String), org_id String, instance_id String, run_id String,
    version UInt64,
    status LowCardinality(String), channel LowCardinality(String), key_id String,
    model LowCardinality(String), streamed Bool, end_user String, error_code LowCardinality(String),
    started_at DateTime64(3, 'UTC'), closed_at DateTime64(3, 'UTC'), duration_ms UInt64,
    tokens_in UInt64, tokens_out UInt64, input_uncached UInt64, cache_read UInt64, cache_write UInt64,
    reasoning UInt64, model_calls UInt64, tool_calls UInt64,
    charged_micro Int64, price_version LowCardinality(String),
    estimated Bool, unpriced Bool, skewed Bool,
    recorded_at DateTime64(3, 'UTC'),
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(started_at)
ORDER BY (tenant_id, org_id, instance_id, started_at, run_id)
SETTINGS non_replicated_deduplication_window = 100000;
