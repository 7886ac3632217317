-- What the ledger says of a run: its usage, and each adjustment. FINAL: of each entry the last version counts.
SELECT
    entry_id, kind, account, amount_micro,
    toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms,
    toUnixTimestamp64Milli(recorded_at) AS recorded_at_ms,
    reference_id, price_version, reason,
    _topic AS topic, _partition AS partition, _offset AS offset
FROM ledger FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND (entry_id = {run_id:String} OR startsWith(entry_id, concat({run_id:String}, '/')))
  AND reference_id = {run_id:String}
ORDER BY occurred_at, entry_id
LIMIT {limit:UInt32}
