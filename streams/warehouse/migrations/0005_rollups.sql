-- Usage by minute, hour and day, added up in advance, so that a dashboard's cost does not grow with the runs.
--
-- Nothing is added to a row here. After each insert into `runs` the worker computes the buckets that it touched
-- anew, from the folded runs, and writes them whole; a bucket is right however often, in whatever order, and by
-- whomever it was computed. `facts` is the sum of the versions of a row's runs, and `version` that of the whole
-- bucket's: it grows with every fact, so what saw more facts wins over what saw fewer, without any clock. A row
-- whose runs have all moved to another one (a run's model is known late) is written again with nothing in it.
-- Hours are made of minutes and days of hours. ORDER BY starts as that of `runs`; one row of a bucket is one
-- combination of model, channel, key and status, so there are never more rows than runs. Of runs that are there
-- already the migrator computes them, day by day, before it notes this file as applied.

CREATE TABLE IF NOT EXISTS usage_minutes
(
    tenant_id LowCardinality(String), org_id String, instance_id String, at DateTime('UTC'),
    model LowCardinality(String), channel LowCardinality(String), key_id String, status LowCardinality(String),
    version UInt64, facts UInt64, runs UInt64,
    tokens_in UInt64, tokens_out UInt64, input_uncached UInt64, cache_read UInt64, cache_write UInt64,
    reasoning UInt64, model_calls UInt64, tool_calls UInt64, duration_ms UInt64, charged_micro Int64,
    durations AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float64, UInt8),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, org_id, instance_id, at, model, channel, key_id, status)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS usage_hours
(
    tenant_id LowCardinality(String), org_id String, instance_id String, at DateTime('UTC'),
    model LowCardinality(String), channel LowCardinality(String), key_id String, status LowCardinality(String),
    version UInt64, facts UInt64, runs UInt64,
    tokens_in UInt64, tokens_out UInt64, input_uncached UInt64, cache_read UInt64, cache_write UInt64,
    reasoning UInt64, model_calls UInt64, tool_calls UInt64, duration_ms UInt64, charged_micro Int64,
    durations AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float64, UInt8),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, org_id, instance_id, at, model, channel, key_id, status)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS usage_days
(
    tenant_id LowCardinality(String), org_id String, instance_id String, at DateTime('UTC'),
    model LowCardinality(String), channel LowCardinality(String), key_id String, status LowCardinality(String),
    version UInt64, facts UInt64, runs UInt64,
    tokens_in UInt64, tokens_out UInt64, input_uncached UInt64, cache_read UInt64, cache_write UInt64,
    reasoning UInt64, model_calls UInt64, tool_calls UInt64, duration_ms UInt64, charged_micro Int64,
    durations AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float64, UInt8),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, org_id, instance_id, at, model, channel, key_id, status)
SETTINGS non_replicated_deduplication_window = 100000;

-- The analysts' views of usage have the columns that they had, and read these.
DROP VIEW IF EXISTS analyst_usage_minute;
DROP VIEW IF EXISTS analyst_usage_hourly;
DROP VIEW IF EXISTS analyst_usage_daily;

CREATE VIEW analyst_usage_minute AS
SELECT
    tenant_id, org_id, instance_id, at AS minute, model, channel, key_id,
    sum(bucket.runs) AS started, sumIf(bucket.runs, status != 'started') AS runs,
    sumIf(bucket.runs, status = 'failed') AS failed,
    sum(bucket.tokens_in) AS tokens_in, sum(bucket.tokens_out) AS tokens_out,
    sum(bucket.cache_read) AS cache_read, sum(bucket.model_calls) AS model_calls,
    sum(bucket.tool_calls) AS tool_calls, sum(bucket.duration_ms) AS duration_ms,
    sum(bucket.charged_micro) AS charged_micro,
    CAST(sum(bucket.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM usage_minutes AS bucket FINAL
WHERE bucket.runs > 0
GROUP BY tenant_id, org_id, instance_id, minute, model, channel, key_id
COMMENT 'Usage by minute (UTC), instance, model, channel and key. A sum over it is a sum over runs.';

CREATE VIEW analyst_usage_hourly AS
SELECT
    tenant_id, org_id, instance_id, at AS hour, model, channel, key_id,
    sum(bucket.runs) AS started, sumIf(bucket.runs, status != 'started') AS runs,
    sumIf(bucket.runs, status = 'failed') AS failed,
    sum(bucket.tokens_in) AS tokens_in, sum(bucket.tokens_out) AS tokens_out,
    sum(bucket.cache_read) AS cache_read, sum(bucket.model_calls) AS model_calls,
    sum(bucket.tool_calls) AS tool_calls, sum(bucket.duration_ms) AS duration_ms,
    sum(bucket.charged_micro) AS charged_micro,
    CAST(sum(bucket.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM usage_hours AS bucket FINAL
WHERE bucket.runs > 0
GROUP BY tenant_id, org_id, instance_id, hour, model, channel, key_id
COMMENT 'Usage by hour (UTC), instance, model, channel and key. A sum over it is a sum over runs.';

CREATE VIEW analyst_usage_daily AS
SELECT
    tenant_id, org_id, instance_id, toDate(at, 'UTC') AS day, model, channel, key_id,
    sum(bucket.runs) AS started, sumIf(bucket.runs, status != 'started') AS runs,
    sumIf(bucket.runs, status = 'failed') AS failed,
    sum(bucket.tokens_in) AS tokens_in, sum(bucket.tokens_out) AS tokens_out,
    sum(bucket.cache_read) AS cache_read, sum(bucket.model_calls) AS model_calls,
    sum(bucket.tool_calls) AS tool_calls, sum(bucket.duration_ms) AS duration_ms,
    sum(bucket.charged_micro) AS charged_micro,
    CAST(sum(bucket.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM usage_days AS bucket FINAL
WHERE bucket.runs > 0
GROUP BY tenant_id, org_id, instance_id, day, model, channel, key_id
COMMENT 'Usage by day (UTC), instance, model, channel and key. A sum over it is a sum over runs.';
