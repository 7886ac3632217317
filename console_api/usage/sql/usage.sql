-- Overall, per group and per bucket and group, in one pass. `level`: 0 overall, 1 group, 2 bucket and group.
-- FINAL folds a run's versions into its last one, whether or not the parts were merged.
SELECT
    multiIf(grouping(bucket_ms) = 0, 2, grouping(group_key) = 0, 1, 0) AS level,
    bucket_ms,
    group_key,
    count() AS started,
    countIf(status != 'started') AS runs,
    countIf(status = 'completed') AS completed,
    countIf(status = 'failed') AS failed,
    countIf(status = 'cancelled') AS cancelled,
    countIf(status = 'limit_exceeded') AS limit_exceeded,
    countIf(status = 'lost') AS lost,
    sum(tokens_in) AS tokens_in,
    sum(tokens_out) AS tokens_out,
    sum(cache_read) AS cache_read,
    sum(cache_write) AS cache_write,
    sum(reasoning) AS reasoning,
    sum(model_calls) AS model_calls,
    sum(tool_calls) AS tool_calls,
    sum(duration_ms) AS duration_ms,
    sum(charged_micro) AS credits_micro,
    quantilesTDigestIf(0.5, 0.95, 0.99)(toFloat64(duration_ms), status != 'started') AS durations
FROM
(
    SELECT
        *,
        multiIf(
            {window:String} = 'minute', toUnixTimestamp(toStartOfMinute(toDateTime(started_at, {tz:String}))),
            {window:String} = 'hour', toUnixTimestamp(toStartOfHour(toDateTime(started_at, {tz:String}))),
            toUnixTimestamp(toStartOfDay(toDateTime(started_at, {tz:String})))
        ) * 1000 AS bucket_ms,
        multiIf(
            {group_by:String} = 'model', toString(model),
            {group_by:String} = 'channel', toString(channel),
            {group_by:String} = 'status', toString(status),
            {group_by:String} = 'key_id', key_id,
            ''
        ) AS group_value,
        if({group_by:String} = 'none' OR has({kept:Array(String)}, group_value), group_value, {other:String}) AS group_key
    FROM runs FINAL
    WHERE tenant_id = {tenant_id:String}
      AND org_id = {org_id:String}
      AND instance_id = {instance_id:String}
      AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
)
GROUP BY GROUPING SETS ((), (group_key), (bucket_ms, group_key))
SETTINGS force_grouping_standard_compatibility = 1, prefer_column_name_to_alias = 1
