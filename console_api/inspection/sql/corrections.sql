-- Each correction of a run once, in the order in which they take effect.
SELECT
    request_id, kind, new_price_version, call_id, model, input_uncached, cache_read, cache_write, output,
    reasoning, reason, toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms
FROM corrections
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC')
  AND run_id = {run_id:String}
ORDER BY occurred_at, request_id
LIMIT 1 BY request_id
LIMIT {limit:UInt32}
