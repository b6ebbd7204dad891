-- Replaces the incident whose version is one less, and appends to its journal.
-- KEYS: incident, open, journal. ARGV: id, version, open, body, record...
local incident, open, journal = KEYS[1], KEYS[2], KEYS[3]
local id, version, is_open, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local stored = redis.call('HMGET', incident, 'version', 'body')
if not stored[1] then
  return {'missing'}
end
if stored[2] == body then
  return {'done'}
end
if tonumber(stored[1]) ~= tonumber(version) - 1 then
  return {'stale', stored[1]}
end
local other = redis.call('GET', open)
if is_open == '1' then
  if other and other ~= id then
    return {'busy', other}
  end
  redis.call('SET', open, id)
elseif other == id then
  redis.call('DEL', open)
end
redis.call('HSET', incident, 'version', version, 'body', body)
for i = 5, #ARGV do
  redis.call('RPUSH', journal, ARGV[i])
end
return {'done'}
