-- Remove published entries from an outbox, if they still are what was published.
--
-- KEYS[1] = the outbox; ARGV = id and SHA-1 of each entry, in turn. Returns how many were removed.
-- A Redis that went back in time gives ids out again: what stands under one now may not have been published.
local removed = 0
for i = 1, #ARGV, 2 do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if found and redis.sha1hex(found[2][2]) == ARGV[i + 1] then
    removed = removed + redis.call('XDEL', KEYS[1], ARGV[i])
  end
end
return removed
