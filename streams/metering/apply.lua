-- Apply one batch of a partition, or nothing.
--
-- KEYS[1] = the partition's seq; every other key is inside the plan and shares its hash tag.
-- ARGV[1] = the seq the plan was computed at; ARGV[2] = the plan, MessagePack; ARGV[3] = the outbox entry;
-- ARGV[4] = the run states, one after another, as long as the plan says (cmsgpack reads no binary strings).
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

local at = 1
for _, run in ipairs(plan.runs) do
  redis.call('SET', plan.run_prefix .. run[1], string.sub(ARGV[4], at, at + run[2] - 1), 'EX', plan.run_ttl)
  at = at + run[2]
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
for _, closed in ipairs(plan.closed) do
  local run_id = closed[1]
  local held = redis.call('HGET', closed[2], run_id)
  if held then
    redis.call('HDEL', closed[2], run_id)
    redis.call('HINCRBY', closed[3], 'held', '-' .. held)
  end
  if redis.call('ZREM', plan.leases_key, run_id) == 1 then
    redis.call('DEL', closed[4])
  end
end

local new_seq = redis.call('INCR', KEYS[1])
if ARGV[3] ~= '' then
  redis.call('XADD', plan.outbox_key, new_seq .. '-0', 'entries', ARGV[3])
end
for _, fence in ipairs(plan.fences) do
  redis.call('SET', fence[1], fence[3])
end
return {'ok', new_seq}
