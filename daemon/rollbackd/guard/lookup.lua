-- A cache entry, or the right to load it, or the word that somebody else has that right.
-- KEYS: entry, load. ARGV: token, lease_ms.
local value = redis.call('GET', KEYS[1])
if value then return {'hit', value} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1] then
  return {'load'}
end
return {'wait'}
