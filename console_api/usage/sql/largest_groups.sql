-- The groups that cost most; the others are added up.
SELECT
    multiIf(
        {group_by:String} = 'model', toString(model),
        {group_by:String} = 'channel', toString(channel),
        {group_by:String} = 'status', toString(status),
        key_id
    ) AS group_key
FROM runs FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND instance_id = {instance_id:String}
  AND started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
GROUP BY group_key
ORDER BY sum(charged_micro) DESC, count() DESC, group_key
LIMIT {limit:UInt32}
