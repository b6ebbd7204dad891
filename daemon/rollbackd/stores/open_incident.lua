-- Stores a new incident and its first record, unless the scope has an open one.
-- KEYS: incident, open, journal. ARGV: id, version, open, body, state, act, record.
local incident, open, journal = KEYS[1], KEYS[2], KEYS[3]
local id, version, is_open, body, state, act = unpack(ARGV, 1, 6)
local record = ARGV[7]

local stored = redis.call('HGET', incident, 'body')
if stored then
  return {stored == body and 'done' or 'exists'}
end
if is_open == '1' then
  local other = redis.call('GET', open)
  if other then
    return {'busy', other}
  end
  redis.call('SET', open, id)
end
redis.call('HSET', incident, 'version', version, 'body', body, 'state', state, 'act', act)
redis.call('RPUSH', journal, record)
return {'done'}
