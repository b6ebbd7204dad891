-- Ends a load: keeps the value, if this token still holds the load, and lets the load go.
-- KEYS: load, entry. ARGV: token, ttl_ms (0 keeps nothing), value.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2]) end
return redis.call('DEL', KEYS[1])
