-- Remember the latest records of some runs and move both fences, if the ledger's is where it was expected.
-- KEYS: the ledger's fence, the records' fence, then one key per run.
-- ARGV: expected ledger fence, next ledger fence, next records' fence, seconds to remember a run, then one
-- value per run. Returns 1 when it was written, 0 when the fence stood elsewhere.
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 0
end
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 2], 'EX', ARGV[4])
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
