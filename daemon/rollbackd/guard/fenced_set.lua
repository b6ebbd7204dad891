-- Writes fields, if the `writes` control still is as it was when the write was let in.
-- KEYS: target HASH. ARGV: control, epoch, version, then fields and values.
-- The control is no key of the script: Redis would ask for leave to write it.
-- The two keys are in one slot, and the compare and the write are one: nobody gets in between.
local stands = redis.call('HMGET', ARGV[1], 'epoch', 'version')
if tonumber(stands[1] or '0') ~= tonumber(ARGV[2]) or tonumber(stands[2] or '0') ~= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
return 1
