-- Apply one batch of a partition, or nothing.
--
-- KEYS[1] = the partition's seq; every other key is inside the plan and shares its hash tag.
-- ARGV[1] = the seq the plan was computed at; ARGV[2] = the plan, MessagePack.
-- Returns {"ok", new seq} or {"mismatch", key, found}; on a mismatch nothing was written.
--
-- Compare-and-set on seq and on each fence: the plan is a function of the log and of the state at that seq,
-- so whoever wins wrote what any worker would have, and whoever lost reads again.
local plan = cmsgpack.unpack(ARGV[2])

local seq = redis.call('GET', KEYS[1]) or '0'
if seq ~= ARGV[1] then
  return {'mismatch', KEYS[1], seq}
end
for _, fence in ipairs(plan.fences) do
  local found = redis.call('GET', fence[1])
  if found ~= fence[2] then
    return {'mismatch', fence[1], found or 'NOFENCE'}
  end
end

for _, run in ipairs(plan.runs) do
  redis.call('SET', run[1], run[2], 'EX', plan.run_ttl)
end
for _, counter in ipairs(plan.counters) do
  local fields = counter[3]
  for i = 1, #fields, 2 do
    redis.call('HINCRBY', counter[1], fields[i], fields[i + 1])
  end
  if counter[2] > 0 then
    redis.call('EXPIRE', counter[1], counter[2])
  end
end
for _, wallet in ipairs(plan.wallets) do
  local fields = wallet[2]
  for i = 1, #fields, 2 do
    redis.call('HINCRBY', wallet[1], fields[i], fields[i + 1])
  end
  redis.call('HINCRBY', wallet[1], 'version', 1)
end
for _, grant in ipairs(plan.grants) do
  redis.call('SADD', grant[1], grant[2])
end
for _, hold in ipairs(plan.holds) do
  local held = redis.call('HGET', hold[1], hold[2])
  if held then
    redis.call('HDEL', hold[1], hold[2])
    redis.call('HINCRBY', hold[3], 'held', '-' .. held)
  end
end
for _, lease in ipairs(plan.leases) do
  redis.call('ZREM', lease[1], lease[2])
  redis.call('DEL', lease[3])
end

local new_seq = redis.call('INCR', KEYS[1])
if plan.outbox ~= '' then
  redis.call('XADD', plan.outbox_key, new_seq .. '-0', 'entries', plan.outbox)
end
for _, fence in ipairs(plan.fences) do
  redis.call('SET', fence[1], fence[3])
end
return {'ok', new_seq}
