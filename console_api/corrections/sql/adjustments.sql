-- What corrections did to wallets, by the ids of their entries. FINAL: of each entry the last version counts.
SELECT entry_id, amount_micro
FROM ledger FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id IN {org_ids:Array(String)}
  AND occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND entry_id IN {entry_ids:Array(String)}
  AND kind = 'adjustment'
