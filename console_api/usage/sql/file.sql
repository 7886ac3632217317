-- Usage by bucket and group (`statement.usage`) as rows of a file; buckets without runs are left out.
SELECT
    fromUnixTimestamp64Milli(bucket_ms, 'UTC') AS window_start,
    group_key AS group,
    started, runs, completed, failed, cancelled, limit_exceeded, lost,
    tokens_in, tokens_out, cache_read, cache_write, reasoning, model_calls, tool_calls,
    credits_micro,
    durations[1] AS duration_p50_ms, durations[2] AS duration_p95_ms, durations[3] AS duration_p99_ms
FROM
(
{usage}
)
WHERE level = 2
ORDER BY window_start, group
FORMAT Parquet
