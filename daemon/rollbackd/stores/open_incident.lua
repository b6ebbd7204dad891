-- Stores a new incident and its first record, unless the scope has an open one.
-- KEYS: incident, open, journal. ARGV: id, version, open, body, record.
local incident, open, journal = KEYS[1], KEYS[2], KEYS[3]
local id, version, is_open, body, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

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
redis.call('HSET', incident, 'version', version, 'body', body)
redis.call('RPUSH', journal, record)
return {'done'}
