-- Overall, per group and per bucket and group, in one pass. `level`: 0 overall, 1 group, 2 bucket and group.
-- From the rollups: whole buckets, minutes around them, single runs at the ends (see console_api/rollups.py).
-- FINAL leaves of each row the newest, and of a run its last version, whether or not the parts were merged.
SELECT
    multiIf(grouping(bucket_ms) = 0, 2, grouping(group_key) = 0, 1, 0) AS level,
    bucket_ms,
    group_key,
    sum(runs) AS started,
    sumIf(runs, status != 'started') AS runs,
    sumIf(runs, status = 'completed') AS completed,
    sumIf(runs, status = 'failed') AS failed,
    sumIf(runs, status = 'cancelled') AS cancelled,
    sumIf(runs, status = 'limit_exceeded') AS limit_exceeded,
    sumIf(runs, status = 'lost') AS lost,
    sum(tokens_in) AS tokens_in,
    sum(tokens_out) AS tokens_out,
    sum(cache_read) AS cache_read,
    sum(cache_write) AS cache_write,
    sum(reasoning) AS reasoning,
    sum(model_calls) AS model_calls,
    sum(tool_calls) AS tool_calls,
    sum(duration_ms) AS duration_ms,
    sum(charged_micro) AS credits_micro,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(durations) AS durations
FROM
(
    SELECT
        *,
        multiIf(
            {window:String} = 'minute', toUnixTimestamp(toStartOfMinute(toTimeZone(at, {tz:String}))),
            {window:String} = 'hour', toUnixTimestamp(toStartOfHour(toTimeZone(at, {tz:String}))),
            toUnixTimestamp(toStartOfDay(toTimeZone(at, {tz:String})))
        ) * 1000 AS bucket_ms,
        multiIf(
            {group_by:String} = 'model', toString(model),
            {group_by:String} = 'channel', toString(channel),
            {group_by:String} = 'status', toString(status),
            {group_by:String} = 'key_id', key_id,
            ''
        ) AS group_value,
        if({group_by:String} = 'none' OR has({kept:Array(String)}, group_value), group_value, {other:String}) AS group_key
    FROM
    (
        SELECT at, model, channel, key_id, status, runs,
        tokens_in, tokens_out, cache_read, cache_write, reasoning,
        model_calls, tool_calls, duration_ms, charged_micro, durations
        FROM {rollup:Identifier} FINAL
        WHERE tenant_id = {tenant_id:String}
          AND org_id = {org_id:String}
          AND instance_id = {instance_id:String}
          AND at >= fromUnixTimestamp64Milli({whole_from:Int64}, 'UTC')
          AND at < fromUnixTimestamp64Milli({whole_to:Int64}, 'UTC')
          AND runs > 0
        UNION ALL
        SELECT at, model, channel, key_id, status, runs,
        tokens_in, tokens_out, cache_read, cache_write, reasoning,
        model_calls, tool_calls, duration_ms, charged_micro, durations
        FROM usage_minutes FINAL
        WHERE tenant_id = {tenant_id:String}
          AND org_id = {org_id:String}
          AND instance_id = {instance_id:String}
          AND (at >= fromUnixTimestamp64Milli({minutes_from:Int64}, 'UTC')
            AND at < fromUnixTimestamp64Milli({whole_from:Int64}, 'UTC')
            OR at >= fromUnixTimestamp64Milli({whole_to:Int64}, 'UTC')
            AND at < fromUnixTimestamp64Milli({minutes_to:Int64}, 'UTC'))
          AND runs > 0
        UNION ALL
        SELECT
            toStartOfMinute(started_at) AS at, model, channel, key_id, status, count() AS runs,
            sum(tokens_in), sum(tokens_out), sum(cache_read), sum(cache_write), sum(reasoning),
            sum(model_calls), sum(tool_calls), sum(duration_ms), sum(charged_micro),
            quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat64(duration_ms), status != 'started')
        FROM runs FINAL
        WHERE tenant_id = {tenant_id:String}
          AND org_id = {org_id:String}
          AND instance_id = {instance_id:String}
          AND (started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
            AND started_at < fromUnixTimestamp64Milli({minutes_from:Int64}, 'UTC')
            OR started_at >= fromUnixTimestamp64Milli({minutes_to:Int64}, 'UTC')
            AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC'))
        GROUP BY at, model, channel, key_id, status
    )
)
GROUP BY GROUPING SETS ((), (group_key), (bucket_ms, group_key))
-- A rollup is read faster than several threads are told what to do.
SETTINGS force_grouping_standard_compatibility = 1, prefer_column_name_to_alias = 1, max_threads = 1
