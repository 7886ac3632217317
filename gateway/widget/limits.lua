-- Let one thing through if every rate allows it: `metering.limits.rate` of cost 1, each with its own window.
-- What one of them refuses takes nothing of the others.
--
-- KEYS: the theoretical arrival times. ARGV: now in us, then how many and the window in us, for each key.
-- Returns {0}, or {which rate refuses for longest, retry after us}.
local now = tonumber(ARGV[1])
local arrivals, which, wait = {}, 0, 0

for i, key in ipairs(KEYS) do
  local window = tonumber(ARGV[2 * i + 1])
  local reached = math.max(tonumber(redis.call('GET', key) or 0), now)
  arrivals[i] = reached + math.max(1, math.floor(window / tonumber(ARGV[2 * i])))
  if arrivals[i] - now - window > wait then
    which, wait = i, arrivals[i] - now - window
  end
end
if which > 0 then
  return {which, wait}
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', arrivals[i]), 'PX', math.ceil((arrivals[i] - now) / 1000))
end
return {0}
