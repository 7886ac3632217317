-- Apply one batch of a partition, or nothing.
--
-- KEYS[1] = the partition's seq; every other key begins as plan.keys says, or is in the plan.
-- ARGV[1] = the seq the plan was computed at; ARGV[2] = the plan, MessagePack; ARGV[3] = the outbox entry;
-- ARGV[4], ARGV[5] = the run and the wallet states, one after another, as long as the plan says (cmsgpack
-- reads no binary strings).
-- Returns {"ok", new seq}, {"mismatch", key, found} or {"torn", seq}; only "ok" wrote anything.
--
-- Compare-and-set on seq and on each fence: the plan is a function of the log and of the state at that seq,
-- so whoever wins wrote what any worker would have, and whoever lost reads again.
local plan = cmsgpack.unpack(ARGV[2])
local keys = plan.keys

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

-- Redis undoes nothing of a script that fails half-way. If one ever did, its mark is still there: whatever was
-- applied on top of half a batch would be wrong.
if redis.call('EXISTS', keys.applying) == 1 then
  return {'torn', redis.call('GET', keys.applying)}
end
redis.call('SET', keys.applying, seq)

local at = 1
for _, run in ipairs(plan.runs) do
  local state = string.sub(ARGV[4], at, at + run[2] - 1)
  redis.call('SET', keys.run .. run[1], state, 'EX', plan.run_ttl)
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

-- A run's charge comes out of its hold, so that what is held and what is spent are never counted twice; what
-- turns out to have cost less goes back into it, since its gateway counts on all that was granted; what a
-- closed run did not need is given back. Returns what was taken out of holds, which may be less than nothing.
local function release(org_id, spent)
  local holds = keys.holds .. org_id
  local by_instance = keys.held_by_instance .. org_id
  local total = 0
  for _, run in ipairs(spent) do
    local run_id, instance_id, closed = run[1], run[2], run[4]
    local held = tonumber(redis.call('HGET', holds, run_id) or -1)
    if held >= 0 then
      local taken = held
      if closed then
        redis.call('HDEL', holds, run_id)
        redis.call('SREM', keys.running .. instance_id, run_id)
      else
        taken = math.min(held, tonumber(run[3]))
      end
      -- Only then: zero with a minus sign is no integer to Redis.
      if taken ~= 0 then
        if not closed then
          redis.call('HINCRBY', holds, run_id, string.format('%.0f', -taken))
        end
        redis.call('HINCRBY', by_instance, instance_id, string.format('%.0f', -taken))
        total = total + taken
      end
    end
    if closed and redis.call('ZREM', keys.leases, run_id) == 1 then
      redis.call('DEL', keys.lease .. run_id)
    end
  end
  return total
end

at = 1
for _, write in ipairs(plan.wallets) do
  local org_id, due, balance = write[1], write[4], write[5]
  local wallet = keys.wallet .. org_id
  redis.call('HSET', wallet, unpack(write[2]))
  redis.call('SET', keys.wallet_state .. org_id, string.sub(ARGV[5], at, at + write[3] - 1))
  at = at + write[3]
  if due > 0 then
    redis.call('ZADD', keys.wallets_due, string.format('%.0f', due), org_id)
  else
    redis.call('ZREM', keys.wallets_due, org_id)
  end
  if #write[7] > 0 then
    redis.call('SADD', keys.wallet_grants .. org_id, unpack(write[7]))
  end
  local taken = release(org_id, write[8])
  if taken ~= 0 then
    redis.call('HINCRBY', wallet, 'held', string.format('%.0f', -taken))
  end
  -- Runs are still in flight and there is not enough for all of them, or nothing at all: tell the gateways.
  local held = tonumber(redis.call('HGET', wallet, 'held') or 0)
  local available = tonumber(balance) - held
  if held > 0 and (available < 0 or tonumber(balance) <= 0) then
    redis.call('PUBLISH', plan.limit_channel, string.format(
      '{"org_id":%s,"version":%s,"balance_micro":%s,"available_micro":%.0f}',
      cjson.encode(org_id), write[6], balance, available))
  end
end

local new_seq = redis.call('INCR', KEYS[1])
if ARGV[3] ~= '' then
  redis.call('XADD', keys.outbox, new_seq .. '-0', 'entries', ARGV[3])
end
for _, fence in ipairs(plan.fences) do
  redis.call('SET', fence[1], fence[3])
end
redis.call('DEL', keys.applying)
return {'ok', new_seq}
