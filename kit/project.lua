-- Write a projection unless Redis holds a newer version of it, and tell who caches it. Returns 1 if it changed.
-- KEYS: the projection.
-- ARGV: version, value (its first member is the version), lifetime in ms (0: for ever),
--       '1' to replace only what is there, then pairs of a channel and a message.

local current = redis.call('GET', KEYS[1])
if current then
  local held = tonumber(string.match(current, '^{"version":(%d+)') or '0')
  if held > tonumber(ARGV[1]) or current == ARGV[2] then
    return 0
  end
elseif ARGV[4] == '1' then
  return 0
end

if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
for at = 5, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[at], ARGV[at + 1])
end
return 1
