-- Count a blocked origin. Only so many of a key's day have names of their own; the rest is counted together.
-- KEYS: the day's hash. ARGV: origin, the name of the rest, how many may have names, how long it is kept (s).
local field = ARGV[1]
if redis.call('HEXISTS', KEYS[1], field) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  field = ARGV[2]
end
if redis.call('HINCRBY', KEYS[1], field, 1) == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return 0
