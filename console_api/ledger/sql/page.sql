-- One page, newest first, before a place. FINAL: of each entry the last version counts.
SELECT
    entry_id, kind, account, amount_micro,
    toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms,
    toUnixTimestamp64Milli(recorded_at) AS recorded_at_ms,
    reference_id, price_version, reason
FROM ledger FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND occurred_at <= fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
  AND (toUnixTimestamp64Milli(occurred_at), entry_id) < ({before_ms:Int64}, {before_entry:String})
  AND (empty({kinds:Array(String)}) OR has({kinds:Array(String)}, toString(kind)))
  AND ({reference_id:String} = '' OR reference_id = {reference_id:String})
ORDER BY occurred_at DESC, entry_id DESC
LIMIT {limit:UInt32}
