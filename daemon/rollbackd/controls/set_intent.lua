-- Writes the rollout's own intent. The trip, its op and its epoch stay as they are.
-- KEYS: control, names of the scope's controls, fence. ARGV: name, intent, now_ms, channel.
-- Values are JSON text and are never parsed here; an empty string is "none".
local control, names, fence = KEYS[1], KEYS[2], KEYS[3]
local name, intent, now_ms, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local trip = redis.call('HGET', control, 'trip') or ''
redis.call('HINCRBY', control, 'version', 1)
for field, initial in pairs({trip = '', epoch = '0', op_id = '', incident_id = ''}) do
  redis.call('HSETNX', control, field, initial)
end
redis.call('HSET', control, 'intent', intent, 'effective', trip ~= '' and trip or intent,
  'updated_at_ms', now_ms)
redis.call('SADD', names, name)
redis.call('PUBLISH', channel, name)
return {redis.call('HGETALL', control), redis.call('GET', fence)}
