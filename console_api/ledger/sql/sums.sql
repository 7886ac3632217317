-- The balance at a moment, by kind. FINAL: of each entry the last version counts.
SELECT
    kind,
    count() AS entries,
    sum(amount_micro) AS total_micro,
    toUnixTimestamp64Milli(max(recorded_at)) AS recorded_at_ms
FROM ledger FINAL
WHERE tenant_id = {tenant_id:String}
  AND org_id = {org_id:String}
  AND occurred_at <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
GROUP BY kind
