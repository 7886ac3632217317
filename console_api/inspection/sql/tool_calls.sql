-- Each tool call of a run once, however often it was sent; of contradicting events the one that is charged.
SELECT tool_call_id, tool, duration_ms, status, toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms
FROM tool_call_events
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC')
  AND run_id = {run_id:String}
ORDER BY tool DESC, status DESC, duration_ms DESC
LIMIT 1 BY tool_call_id
LIMIT {limit:UInt32}
