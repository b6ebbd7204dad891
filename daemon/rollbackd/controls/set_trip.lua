-- Lays a trip over the intent, or takes it away: the compare and the write in one.
-- KEYS: control, names of the scope's controls, fence, op.
-- ARGV: name, trip, default, expected_version, epoch, op_id, incident_id, now_ms, channel, memory_ms.
-- Values are JSON text and are never parsed here; an empty string is "none".
local control, names, fence, op = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, trip, default, expected_version = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local epoch, op_id, incident_id, now_ms, channel = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local memory_ms = ARGV[10]

local function standing(result)
  return {result, redis.call('HGETALL', control), redis.call('GET', fence)}
end

if redis.call('EXISTS', op) == 1 then
  return {'replayed', redis.call('HGETALL', op), redis.call('HGET', op, 'epoch')}
end
-- Epochs are microseconds since 1970, which a double holds exactly until the year 2255.
if tonumber(epoch) < tonumber(redis.call('GET', fence) or '0') then
  return standing('stale_epoch')
end
if expected_version ~= tonumber(redis.call('HGET', control, 'version') or '0') then
  return standing('conflict')
end

local intent = redis.call('HGET', control, 'intent') or ''
local effective = default
if trip ~= '' then effective = trip elseif intent ~= '' then effective = intent end
redis.call('SET', fence, epoch)
redis.call('HINCRBY', control, 'version', 1)
redis.call('HSET', control, 'effective', effective, 'intent', intent, 'trip', trip, 'epoch', epoch,
  'op_id', op_id, 'incident_id', incident_id, 'updated_at_ms', now_ms)
redis.call('SADD', names, name)
local first = redis.call('HGETALL', control)
redis.call('HSET', op, 'name', name, unpack(first))
redis.call('PEXPIRE', op, memory_ms)
redis.call('PUBLISH', channel, name)
return standing('applied')
