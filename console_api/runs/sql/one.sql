SELECT {columns}
FROM runs FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND run_id = {run_id:String}
ORDER BY started_at DESC
LIMIT 1
