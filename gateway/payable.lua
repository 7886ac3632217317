-- What `admit.lua` and `extend.lua` share; it stands before each of them.
--
-- KEYS: 1 wallet, 2 holds, 3 held by instance, 4 running, 5 counter of the day, 6 counter of the month
-- ARGV: 1 run id, 2 instance id, 3 now ms, 4 daily cap, 5 monthly cap (0 = none), 6 overage (0 in hard mode)
-- All amounts are micro-credits, below 2^53, where Lua's numbers are exact.
local now = tonumber(ARGV[3])

-- Return what may still be reserved, and which limit says so.
local function payable()
  local wallet = redis.call('HMGET', KEYS[1], 'balance', 'schedule', 'held')
  local least = tonumber(wallet[1] or 0) - tonumber(wallet[3] or 0) + tonumber(ARGV[6])
  -- Buckets that expire, or begin, without anybody writing: nobody may spend what has ended.
  for at, delta in string.gmatch(wallet[2] or '', '(%d+):(-?%d+)') do
    if tonumber(at) > now then
      break
    end
    least = least + tonumber(delta)
  end
  local source = 'org_wallet'
  for n, cap_source in ipairs({'instance_day', 'instance_month'}) do
    local cap = tonumber(ARGV[3 + n])
    if cap > 0 then
      local charged = tonumber(redis.call('HGET', KEYS[4 + n], 'charged') or 0)
      local left = cap - charged - tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or 0)
      if left < least then
        least, source = left, cap_source
      end
    end
  end
  return least, source
end

-- Return how much to reserve; the caller refuses when it is too little.
-- `typical` ('' = unknown) is what a call of the instance hardly ever exceeds, with a margin; `tight` without.
local function grant(available, wanted, typical, tight)
  local sought = wanted
  if typical ~= '' and available < 4 * wanted then
    -- Scarce: holds for answers nobody will write would turn away runs that can be paid.
    typical, tight = tonumber(typical), math.max(1, tonumber(tight))
    sought = math.min(wanted, typical)
    if available < 16 * typical then
      -- Nearly spent: as many runs as there is room for; they share as a margin what is too little for one more.
      local runs = math.max(1, math.floor(available / tight))
      sought = math.min(sought, math.max(tight, math.floor(available / runs)))
    end
  end
  return math.max(0, math.min(sought, available))
end

-- Reserve `amount` for the run: the four places change together, or their sums would part.
local function hold(amount)
  local micro = string.format('%.0f', amount)
  redis.call('HINCRBY', KEYS[2], ARGV[1], micro)
  redis.call('HINCRBY', KEYS[1], 'held', micro)
  redis.call('HINCRBY', KEYS[3], ARGV[2], micro)
  redis.call('SADD', KEYS[4], ARGV[1])
end

