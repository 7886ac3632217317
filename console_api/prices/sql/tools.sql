-- A tenant's tool calls of a span, by tool.
SELECT tool, uniqExact(run_id, tool_call_id) AS calls
FROM tool_call_events
WHERE tenant_id = {tenant_id:String}
  AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND recorded_at >= fromUnixTimestamp64Milli({from_ms:Int64} - 86400000, 'UTC')
GROUP BY tool
ORDER BY calls DESC
LIMIT 500
