-- Raises the fence of a scope to an epoch, never lowers it; answers with the highest one.
-- KEYS: fence. ARGV: epoch.
local highest = redis.call('GET', KEYS[1]) or '0'
if tonumber(ARGV[1]) > tonumber(highest) then
  redis.call('SET', KEYS[1], ARGV[1])
  return ARGV[1]
end
return highest
