-- A tenant's runs of a span that used something: the fee of a run is due once it did.
SELECT count() AS runs
FROM runs FINAL
WHERE tenant_id = {tenant_id:String}
  AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND model_calls + tool_calls > 0
