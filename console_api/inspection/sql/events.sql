-- Every event of a run as it came, oldest first, with its place on Kafka. What came twice is listed twice.
SELECT
    kind, reference, detail,
    toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms,
    toUnixTimestamp64Milli(recorded_at) AS recorded_at_ms,
    topic, partition, offset
FROM
(
    SELECT
        'run' AS kind, run_id AS reference, toString(status) AS detail, occurred_at, recorded_at,
        toString(_topic) AS topic, _partition AS partition, _offset AS offset
    FROM run_events
    WHERE tenant_id = {tenant_id:String} AND org_id = {org_id:String} AND instance_id = {instance_id:String}
      AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC') AND run_id = {run_id:String}
    UNION ALL
    SELECT
        'tokens', call_id, if(final, 'final', toString(seq)), occurred_at, recorded_at,
        toString(_topic), _partition, _offset
    FROM token_events
    WHERE tenant_id = {tenant_id:String} AND org_id = {org_id:String} AND instance_id = {instance_id:String}
      AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC') AND run_id = {run_id:String}
    UNION ALL
    SELECT
        'tool_call', tool_call_id, toString(status), occurred_at, recorded_at,
        toString(_topic), _partition, _offset
    FROM tool_call_events
    WHERE tenant_id = {tenant_id:String} AND org_id = {org_id:String} AND instance_id = {instance_id:String}
      AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC') AND run_id = {run_id:String}
    UNION ALL
    SELECT
        'correction', request_id, toString(kind), occurred_at, recorded_at,
        toString(_topic), _partition, _offset
    FROM corrections
    WHERE tenant_id = {tenant_id:String} AND org_id = {org_id:String} AND instance_id = {instance_id:String}
      AND started_at = fromUnixTimestamp64Milli({started_at_ms:Int64}, 'UTC') AND run_id = {run_id:String}
)
ORDER BY occurred_at, topic, partition, offset
LIMIT {limit:UInt32}
