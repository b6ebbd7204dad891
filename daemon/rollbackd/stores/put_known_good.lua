-- Keeps the newest known good set of a scope.
-- KEYS: known_good. ARGV: recorded_at_ms, body.
local stored = redis.call('HGET', KEYS[1], 'recorded_at_ms')
if stored and tonumber(ARGV[1]) < tonumber(stored) then
  return 0
end
redis.call('HSET', KEYS[1], 'recorded_at_ms', ARGV[1], 'body', ARGV[2])
return 1
