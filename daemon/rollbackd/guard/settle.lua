-- Says what became of an effect: sealed, abandoned (it did not happen), in doubt, or tried again.
-- KEYS: effect, open effects.
-- ARGV: owner, verb, key, lease_ms, keep_ms, epoch, version, result, the `writes` control.
-- The control is no key of the script: Redis would ask for leave to write it.
-- Only the owner may: who was stopped past the lease finds somebody else's name here.
local effect, open, control = KEYS[1], KEYS[2], ARGV[9]
local owner, verb, key, lease_ms, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stored = redis.call('HMGET', effect, 'status', 'owner')
local status = stored[1]

local function said(word)
  return {word, redis.call('HGETALL', effect)}
end

-- what the same call, whose reply was lost, had done already
if verb == 'abandon' and not status then return said('abandoned') end
if stored[2] ~= owner then return said('superseded') end
if status == 'sealed' then return said(verb == 'seal' and 'sealed' or 'superseded') end

if verb == 'seal' then
  redis.call('HSET', effect, 'status', 'sealed', 'sealed_at_ms', now_ms, 'result', ARGV[8])
  redis.call('ZREM', open, key)
  redis.call('PEXPIRE', effect, keep_ms)
  return said('sealed')
elseif verb == 'abandon' then
  redis.call('DEL', effect)
  redis.call('ZREM', open, key)
  return said('abandoned')
elseif verb == 'doubt' then
  redis.call('HSET', effect, 'status', 'unknown', 'lease_until_ms', now_ms)
  redis.call('ZADD', open, now_ms, key)
  return said('unknown')
end

-- `retry`: looked for and not found, so it is made now
local stands = redis.call('HMGET', control, 'epoch', 'version')
if tonumber(stands[1] or '0') ~= tonumber(ARGV[6])
  or tonumber(stands[2] or '0') ~= tonumber(ARGV[7]) then
  return said('superseded')
end
if status == 'unknown' then redis.call('HINCRBY', effect, 'attempts', 1) end
-- later than for its owner, see claim.lua
local until_ms = now_ms + 1 + math.ceil(lease_ms * 1.1)
redis.call('HSET', effect, 'status', 'pending', 'lease_until_ms', until_ms)
redis.call('ZADD', open, until_ms, key)
return said('new')
