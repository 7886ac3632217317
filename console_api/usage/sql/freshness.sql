-- No FINAL: the newest row is the newest row, folded or not.
SELECT count() AS found, toUnixTimestamp64Milli(max(recorded_at)) AS recorded_at_ms
FROM usage_days
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
