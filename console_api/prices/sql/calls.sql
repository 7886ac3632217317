-- A tenant's model calls that began in a span: the last word on each, summed by model and by how many of the
-- thresholds their input lies above. `recorded_at` spares the partitions that hold none of them.
SELECT
    call.1 AS model,
    length(arrayFilter(bound -> call.2 + call.3 + call.4 > bound, {thresholds:Array(UInt64)})) AS above_thresholds,
    count() AS calls,
    sum(call.2) AS input_uncached,
    sum(call.3) AS cache_read,
    sum(call.4) AS cache_write,
    sum(call.5) AS output,
    sum(call.6) AS reasoning
FROM
(
    SELECT argMax(
        (model, input_uncached, cache_read, cache_write, output, reasoning),
        (final, seq, output, input_uncached, cache_read, cache_write, reasoning)
    ) AS call
    FROM token_events
    WHERE tenant_id = {tenant_id:String}
      AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      AND recorded_at >= fromUnixTimestamp64Milli({from_ms:Int64} - 86400000, 'UTC')
    GROUP BY org_id, run_id, call_id
)
GROUP BY model, above_thresholds
ORDER BY sum(call.2 + call.3 + call.4 + call.5) DESC
LIMIT 500
