-- Reserve more for a run in flight, before its next step.
--
-- KEYS: 1-6 as in payable.lua
-- ARGV: 1-6 as in payable.lua, 7 minimum, 8 wanted, 9 typical ('' = unknown) addition to the hold;
--       none of them below zero
-- Returns {'extended', added, available after} | {'gone'} | {'insufficient', limit source, available}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
  -- Closed meanwhile, by the reaper say: what it would hold now nobody would ever release.
  return {'gone'}
end
local minimum = tonumber(ARGV[7])
local available, source = payable()
local added = grant(available, tonumber(ARGV[8]), ARGV[9], ARGV[9])
if added < minimum then
  return {'insufficient', source, available}
end
added = math.max(0, added)
if added > 0 then
  hold(added)
end
return {'extended', added, available - added}
