-- What analysts read. Views, not tables: every view folds the versions of a run, or of a ledger entry, when it
-- is read, so a late or corrected event is in all of them at once, and none can disagree with another.
--
-- A rollup kept by a materialized view would add up versions as they are inserted, and a run has several: it
-- would count runs twice, and could not take back what a correction took back. Columns that a GROUP BY starts
-- with are those that the tables are sorted by, so that conditions on them are pushed down and skip data.
-- Amounts are integers in micro-credits, and decimals in credits, never floats. Times are UTC.

CREATE VIEW analyst_runs AS
SELECT
    tenant_id, org_id, instance_id, started_at, run_id, status, channel, key_id, model, end_user, error_code,
    streamed, closed_at, duration_ms, tokens_in, tokens_out, input_uncached, cache_read, cache_write, reasoning,
    model_calls, tool_calls, charged_micro, CAST(charged_micro, 'Decimal(38, 6)') / 1000000 AS credits,
    price_version, estimated, unpriced, version, recorded_at
FROM runs FINAL
COMMENT 'One row per run, as it is known now. A run belongs to when it started. status=started: still running, or not yet heard of.';

CREATE VIEW analyst_usage_minute AS
SELECT
    tenant_id, org_id, instance_id, toStartOfMinute(started_at) AS minute, model, channel, key_id,
    count() AS started, countIf(status != 'started') AS runs, countIf(status = 'failed') AS failed,
    sum(run.tokens_in) AS tokens_in, sum(run.tokens_out) AS tokens_out, sum(run.cache_read) AS cache_read,
    sum(run.model_calls) AS model_calls, sum(run.tool_calls) AS tool_calls, sum(run.duration_ms) AS duration_ms,
    sum(run.charged_micro) AS charged_micro, CAST(sum(run.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM runs AS run FINAL
GROUP BY tenant_id, org_id, instance_id, minute, model, channel, key_id
COMMENT 'Usage by minute (UTC), instance, model, channel and key. A sum over it is a sum over runs.';

CREATE VIEW analyst_usage_hourly AS
SELECT
    tenant_id, org_id, instance_id, toStartOfHour(started_at) AS hour, model, channel, key_id,
    count() AS started, countIf(status != 'started') AS runs, countIf(status = 'failed') AS failed,
    sum(run.tokens_in) AS tokens_in, sum(run.tokens_out) AS tokens_out, sum(run.cache_read) AS cache_read,
    sum(run.model_calls) AS model_calls, sum(run.tool_calls) AS tool_calls, sum(run.duration_ms) AS duration_ms,
    sum(run.charged_micro) AS charged_micro, CAST(sum(run.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM runs AS run FINAL
GROUP BY tenant_id, org_id, instance_id, hour, model, channel, key_id
COMMENT 'Usage by hour (UTC), instance, model, channel and key. A sum over it is a sum over runs.';

CREATE VIEW analyst_usage_daily AS
SELECT
    tenant_id, org_id, instance_id, toDate(started_at, 'UTC') AS day, model, channel, key_id,
    count() AS started, countIf(status != 'started') AS runs, countIf(status = 'failed') AS failed,
    sum(run.tokens_in) AS tokens_in, sum(run.tokens_out) AS tokens_out, sum(run.cache_read) AS cache_read,
    sum(run.model_calls) AS model_calls, sum(run.tool_calls) AS tool_calls, sum(run.duration_ms) AS duration_ms,
    sum(run.charged_micro) AS charged_micro, CAST(sum(run.charged_micro), 'Decimal(38, 6)') / 1000000 AS credits
FROM runs AS run FINAL
GROUP BY tenant_id, org_id, instance_id, day, model, channel, key_id
COMMENT 'Usage by day (UTC), instance, model, channel and key. A sum over it is a sum over runs.';

-- Producers send again until they hear that an event was taken, so a call may be stored twice.
CREATE VIEW analyst_tool_calls AS
SELECT
    tenant_id, org_id, instance_id, started_at AS run_started_at, run_id, tool_call_id,
    any(tool) AS tool, any(status) AS status, any(duration_ms) AS duration_ms, any(channel) AS channel,
    any(key_id) AS key_id, any(occurred_at) AS called_at
FROM tool_call_events
GROUP BY tenant_id, org_id, instance_id, run_started_at, run_id, tool_call_id
COMMENT 'One row per finished tool call.';

CREATE VIEW analyst_ledger AS
SELECT
    tenant_id, org_id, occurred_at, entry_id, kind, account, amount_micro,
    CAST(amount_micro, 'Decimal(38, 6)') / 1000000 AS credits, reference_id, price_version, reason, version,
    recorded_at
FROM ledger FINAL
COMMENT 'One row per ledger entry, as it is known now. What a wallet was given is positive, what was taken negative.';

CREATE VIEW analyst_prices AS
SELECT
    tenant_id, org_id, price_version, model, min(started_at) AS first_used_at, max(started_at) AS last_used_at,
    count() AS runs, sum(run.tokens_in) AS tokens_in, sum(run.tokens_out) AS tokens_out,
    sum(run.charged_micro) AS charged_micro,
    if(sum(run.tokens_in + run.tokens_out) = 0, NULL,
        intDiv(sum(run.charged_micro) * 1000, toInt64(sum(run.tokens_in + run.tokens_out))))
        AS micro_per_1k_tokens
FROM runs AS run FINAL
WHERE run.status != 'started' AND NOT unpriced
GROUP BY tenant_id, org_id, price_version, model
COMMENT 'What runs were in fact charged by each price book and model. The price books themselves are in the console.';

CREATE VIEW analyst_ingestion AS
SELECT
    tenant_id, instance_id, source_id, version, generation, max(active) AS was_active, max(chunks) AS chunks,
    max(tokens) AS tokens, max(pages) AS pages, max(model) AS model, max(recorded_at) AS indexed_at
FROM knowledge_versions
GROUP BY tenant_id, instance_id, source_id, version, generation
COMMENT 'One row per attempt to index one version of a knowledge source, of instances whose knowledge is kept here.';

CREATE VIEW analyst_sessions AS
SELECT
    tenant_id, org_id, instance_id, end_user, session, min(started_at) AS began_at, max(closed_at) AS ended_at,
    count() AS runs, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out, sum(tool_calls) AS tool_calls,
    sum(charged_micro) AS charged_micro
FROM
(
    SELECT
        *,
        sum(is_first) OVER (
            PARTITION BY tenant_id, org_id, instance_id, end_user ORDER BY started_at, run_id
        ) AS session
    FROM
    (
        SELECT
            tenant_id, org_id, instance_id, end_user, run_id, started_at, closed_at, tokens_in, tokens_out,
            tool_calls, charged_micro,
            dateDiff('minute', lagInFrame(started_at) OVER (
                PARTITION BY tenant_id, org_id, instance_id, end_user ORDER BY started_at, run_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ), started_at) >= 30 AS is_first
        FROM runs FINAL
        WHERE end_user != ''
    )
)
GROUP BY tenant_id, org_id, instance_id, end_user, session
COMMENT 'Runs of one end user of an instance, with less than 30 minutes between the starts of two.';
