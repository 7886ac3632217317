-- One page, newest first, before a place. FINAL folds a run's versions.
SELECT {columns}
FROM runs FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND started_at <= fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
  AND (toUnixTimestamp64Milli(started_at), run_id) < ({before_ms:Int64}, {before_run:String})
  AND ({status:String} = '' OR status = {status:String})
  AND ({model:String} = '' OR model = {model:String})
  AND ({channel:String} = '' OR channel = {channel:String})
ORDER BY started_at DESC, run_id DESC
LIMIT {limit:UInt32}
