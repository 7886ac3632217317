-- When a tenant's newest row of a run was recorded. No FINAL: the newest row is the newest row.
SELECT count() AS found, toUnixTimestamp64Milli(max(recorded_at)) AS recorded_at_ms
FROM runs
WHERE tenant_id = {tenant_id:String}
