-- Ledger entries are facts so far: of each entry the row with the highest version counts, so read with FINAL.
-- What was stored before had steps in it, which cannot be told from facts; the topic holds them still.
--
-- Of wallet commands and expiries the version is the record's offset in the ledger topic.

DROP TABLE IF EXISTS ledger;

CREATE TABLE ledger
(
    tenant_id LowCardinality(String), org_id String,
    entry_id String, version UInt64,
    kind LowCardinality(String), amount_micro Int64, account LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    reference_id String, price_version LowCardinality(String), reason String,
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, org_id, entry_id)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS corrections
(
    tenant_id LowCardinality(String), org_id String, instance_id String, run_id String,
    channel LowCardinality(String), key_id String, price_version LowCardinality(String),
    started_at DateTime64(3, 'UTC'), occurred_at DateTime64(3, 'UTC'), recorded_at DateTime64(3, 'UTC'),
    request_id String, kind LowCardinality(String), new_price_version LowCardinality(String),
    call_id String, model LowCardinality(String),
    input_uncached UInt64, cache_read UInt64, cache_write UInt64, output UInt64, reasoning UInt64,
    reason String,
    _topic LowCardinality(String), _partition UInt16, _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (tenant_id, org_id, instance_id, started_at, run_id)
SETTINGS non_replicated_deduplication_window = 100000;
