-- How many lines a file would have.
SELECT count() AS lines
FROM ledger FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND (empty({kinds:Array(String)}) OR has({kinds:Array(String)}, toString(kind)))
  AND ({reference_id:String} = '' OR reference_id = {reference_id:String})
