-- The last word on each model call of a run, as `metering.runs.Call` orders them, and when it was heard of.
SELECT
    call_id, seq, model, input_uncached, cache_read, cache_write, output, reasoning, final, source,
    count() OVER (PARTITION BY call_id) AS reports,
    toUnixTimestamp64Milli(min(occurred_at) OVER (PARTITION BY call_id)) AS first_at_ms,
    toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms
FROM token_events
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC')
  AND run_id = {run_id:String}
ORDER BY
    final DESC, seq DESC, output DESC, input_uncached DESC, cache_read DESC, cache_write DESC, reasoning DESC,
    model DESC, source DESC
LIMIT 1 BY call_id
LIMIT {limit:UInt32}
