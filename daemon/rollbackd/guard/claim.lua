-- Takes the fence of one effect, or says who has it and what became of the effect.
-- KEYS: effect, open effects.
-- ARGV: owner, request, effect_id, lease_ms, epoch, version, key, take_over (1 or 0),
-- the `writes` control.
-- The control is no key of the script: Redis would ask for leave to write it.
-- Nobody but the owner may settle it. A lease that has passed leaves the effect in doubt: it may
-- have happened, so the fence is never deleted here (requirement K14).
local effect, open, control = KEYS[1], KEYS[2], ARGV[9]
local owner, request, effect_id, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, take_over = ARGV[7], ARGV[8] == '1'

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)
local stored = redis.call('HMGET', effect, 'status', 'owner', 'request', 'lease_until_ms', 'token')
local status = stored[1]

local function said(word)
  return {word, redis.call('HGETALL', effect)}
end

-- It ends here a tenth and a millisecond later than for its owner: clocks run unevenly, and this one
-- is cut to milliseconds. Nobody takes over what its owner may still do.
local until_ms = now_ms + 1 + math.ceil(lease_ms * 1.1)

local function hold(fields)
  redis.call('HSET', effect, 'owner', owner, 'lease_until_ms', until_ms,
    'token', string.format('%.0f', math.max(now_us, tonumber(stored[5] or '0') + 1)), unpack(fields))
  redis.call('ZADD', open, until_ms, key)
end

if status and stored[3] ~= request then return said('conflict') end
if status == 'sealed' then return said('duplicate') end
-- this very call, repeated because its reply was lost
if status and stored[2] == owner then return said(status == 'pending' and 'new' or 'unknown') end
if status and tonumber(stored[4]) > now_ms then return said('busy') end
if status and not take_over then
  redis.call('HSET', effect, 'status', 'unknown')
  return said('unknown')
end
if status then
  hold({'status', 'unknown'})
  return said('unknown')
end

local stands = redis.call('HMGET', control, 'epoch', 'version')
if tonumber(stands[1] or '0') ~= tonumber(ARGV[5])
  or tonumber(stands[2] or '0') ~= tonumber(ARGV[6]) then
  return said('superseded')
end
hold({'status', 'pending', 'request', request, 'effect_id', effect_id, 'attempts', 1,
  'started_at_ms', now_ms})
return said('new')
