-- Which instance a run is of. All versions of a run say the same, so that none need be folded.
SELECT instance_id
FROM runs
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND run_id = {run_id:String}
LIMIT 1
