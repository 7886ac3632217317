-- Admit a run and reserve what it may cost, or say why not: one call, so that no two runs spend the same credit.
-- Whatever refuses is looked at before anything is written: a refusal takes no rate allowance.
--
-- KEYS: 1-6 as in payable.lua, 7 leases, 8 lease, 9 idempotency record, 10 rate of requests, 11 rate of tokens
-- ARGV: 1-6 as in payable.lua, 7 lease (JSON), 8 lease until ms,
--       9 digest of the request ('' = no idempotency key), 10 idempotency ttl s, 11 answer-key prefix,
--       12 minimum hold, 13 wanted hold, 14 typical hold ('' = unknown), 15 the same without its margin,
--       16 input tokens, 17 output tokens of the minimum hold, 18 of the wanted one,
--       19 requests per minute, 20 tokens per minute, 21 concurrent runs (0 = no limit)
-- Returns {'admitted', held, available after, rates...} | {'repeat', run id} | {'conflict'}
--       | {'concurrency'} | {'rated', which, retry after us (-1 = never), rates...}
--       | {'insufficient', limit source, available}
-- where rates are: requests remaining, reset us, tokens remaining, reset us; -1 where there is no such limit.
local MINUTE = 60000000

if ARGV[9] ~= '' then
  local known = redis.call('HMGET', KEYS[9], 'request', 'run_id')
  if known[1] then
    if known[1] ~= ARGV[9] then
      return {'conflict'}
    end
    local answered = redis.call('EXISTS', ARGV[11] .. known[2]) == 1
    local due = redis.call('ZSCORE', KEYS[7], known[2])
    -- No answer and no living owner: the first attempt died; this one takes its place.
    if answered or (due and tonumber(due) > now) then
      return {'repeat', known[2]}
    end
  end
end

local most_runs = tonumber(ARGV[21])
if most_runs > 0 and redis.call('SCARD', KEYS[4]) >= most_runs then
  return {'concurrency'}
end

local available, source = payable()
local minimum, wanted = tonumber(ARGV[12]), tonumber(ARGV[13])
local held = grant(available, wanted, ARGV[14], ARGV[15])
if held < minimum then
  return {'insufficient', source, available}
end

-- The output that the hold pays for: it grows evenly from the minimum to the wanted one.
local output, most_output = tonumber(ARGV[17]), tonumber(ARGV[18])
if held >= wanted then
  output = most_output
else
  output = output + math.floor((held - minimum) * (most_output - output) / (wanted - minimum))
end

-- `metering.limits.rate`, in microseconds. The arrival time is written only when everything is let through.
local rates = {}
local refused, retry_after = nil, 0
local function rate(name, key, limit, cost)
  if limit == 0 then
    rates[#rates + 1] = {remaining = -1, reset = -1}
    return
  end
  local at = now * 1000
  local reached = math.max(tonumber(redis.call('GET', key) or 0), at)
  local arrival = reached + math.max(1, math.floor(cost * MINUTE / limit))
  if cost > limit then
    refused, retry_after = name, -1
  elseif arrival - at > MINUTE and not refused then
    refused, retry_after = name, arrival - at - MINUTE
  end
  rates[#rates + 1] = {key = key, at = at, limit = limit, reached = reached, arrival = arrival}
end
rate('requests', KEYS[10], tonumber(ARGV[19]), 1)
rate('tokens', KEYS[11], tonumber(ARGV[20]), tonumber(ARGV[16]) + output)

-- Append how the rates stand, writing them when the run is let through.
local function with_rates(reply)
  for _, one in ipairs(rates) do
    if one.key then
      local arrival = refused and one.reached or one.arrival
      if not refused then
        local ttl = math.ceil((arrival - one.at) / 1000)
        redis.call('SET', one.key, string.format('%.0f', arrival), 'PX', ttl)
      end
      one.reset = arrival - one.at
      one.remaining = math.floor(math.max(0, MINUTE - one.reset) * one.limit / MINUTE)
    end
    reply[#reply + 1] = one.remaining
    reply[#reply + 1] = one.reset
  end
  return reply
end

if refused then
  return with_rates({'rated', refused, retry_after})
end

hold(held)
redis.call('ZADD', KEYS[7], ARGV[8], ARGV[1])
-- Until it is closed, however late: without its lease nobody could close it, nor release what it holds.
redis.call('SET', KEYS[8], ARGV[7])
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[9], 'request', ARGV[9], 'run_id', ARGV[1])
  redis.call('EXPIRE', KEYS[9], ARGV[10])
end
return with_rates({'admitted', held, available - held})
