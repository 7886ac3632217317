-- Forget uses of keys that were stored, unless the key was used again meanwhile.
-- KEYS: the hash. ARGV: pairs of a field and the value that was stored.

for at = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
    redis.call('HDEL', KEYS[1], ARGV[at])
  end
end
return 0
