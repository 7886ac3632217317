-- The groups that cost most; the others are added up. Read from where `usage.sql` reads.
SELECT
    multiIf(
        {group_by:String} = 'model', toString(model),
        {group_by:String} = 'channel', toString(channel),
        {group_by:String} = 'status', toString(status),
        key_id
    ) AS group_key
FROM
(
    SELECT model, channel, key_id, status, runs, charged_micro
    FROM {rollup:Identifier} FINAL
    WHERE tenant_id = {tenant_id:String}
      AND org_id = {org_id:String}
      AND instance_id = {instance_id:String}
      AND at >= fromUnixTimestamp64Milli({whole_from:Int64}, 'UTC')
      AND at < fromUnixTimestamp64Milli({whole_to:Int64}, 'UTC')
      AND runs > 0
    UNION ALL
    SELECT model, channel, key_id, status, runs, charged_micro
    FROM usage_minutes FINAL
    WHERE tenant_id = {tenant_id:String}
      AND org_id = {org_id:String}
      AND instance_id = {instance_id:String}
      AND (at >= fromUnixTimestamp64Milli({minutes_from:Int64}, 'UTC')
        AND at < fromUnixTimestamp64Milli({whole_from:Int64}, 'UTC')
        OR at >= fromUnixTimestamp64Milli({whole_to:Int64}, 'UTC')
        AND at < fromUnixTimestamp64Milli({minutes_to:Int64}, 'UTC'))
      AND runs > 0
    UNION ALL
    SELECT model, channel, key_id, status, 1 AS runs, charged_micro
    FROM runs FINAL
    WHERE tenant_id = {tenant_id:String}
      AND org_id = {org_id:String}
      AND instance_id = {instance_id:String}
      AND (started_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND started_at < fromUnixTimestamp64Milli({minutes_from:Int64}, 'UTC')
        OR started_at >= fromUnixTimestamp64Milli({minutes_to:Int64}, 'UTC')
        AND started_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC'))
)
GROUP BY group_key
ORDER BY sum(charged_micro) DESC, sum(runs) DESC, group_key
LIMIT {limit:UInt32}
