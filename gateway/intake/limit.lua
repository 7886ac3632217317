-- Let so many events through, or say how long to wait: `metering.limits.rate` over a minute.
-- KEYS: the theoretical arrival time. ARGV: now in us, events a minute, how many there are.
-- Returns 0, or retry after us.
local MINUTE = 60000000
local now, limit, events = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local reached = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local arrival = reached + math.max(1, math.floor(events * MINUTE / limit))
if arrival - now > MINUTE then
  return arrival - now - MINUTE
end
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
return 0
