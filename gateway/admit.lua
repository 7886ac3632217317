-- Admit a run and reserve its worst case, or say why not. One call, so that no two runs spend the same credit.
--
-- KEYS: 1 wallet, 2 holds, 3 leases, 4 lease, 5 idempotency record ('' hash tag only when unused), 6 new answer
-- ARGV: 1 run id, 2 hold in micro-credits, 3 lease (JSON), 4 now ms, 5 lease until ms, 6 lease ttl ms,
--       7 digest of the request ('' = no idempotency key), 8 idempotency ttl s, 9 answer-key prefix
-- Returns {'admitted', available after} | {'insufficient', available} | {'repeat', run id} | {'conflict'}
if ARGV[7] ~= '' then
  local known = redis.call('HMGET', KEYS[5], 'request', 'run_id')
  if known[1] then
    if known[1] ~= ARGV[7] then
      return {'conflict'}
    end
    local answered = redis.call('EXISTS', ARGV[9] .. known[2]) == 1
    local due = redis.call('ZSCORE', KEYS[3], known[2])
    -- No answer and no living owner: the first attempt died; this one takes its place.
    if answered or (due and tonumber(due) > tonumber(ARGV[4])) then
      return {'repeat', known[2]}
    end
  end
end

local wallet = redis.call('HMGET', KEYS[1], 'balance', 'held')
local available = tonumber(wallet[1] or 0) - tonumber(wallet[2] or 0)
local hold = tonumber(ARGV[2])
if available < hold then
  return {'insufficient', string.format('%.0f', available)}
end

redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'held', ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[6])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[5], 'request', ARGV[7], 'run_id', ARGV[1])
  redis.call('EXPIRE', KEYS[5], ARGV[8])
end
return {'admitted', string.format('%.0f', available - hold)}
