-- Replaces the incident whose version is one less, and appends to its journal.
-- KEYS: incident, open, journal. ARGV: id, version, open, body, state, act, the states that lead to
-- this one (each in blanks), record...
local incident, open, journal = KEYS[1], KEYS[2], KEYS[3]
local id, version, is_open, body, state, act = unpack(ARGV, 1, 6)
local from = ARGV[7]

local stored = redis.call('HMGET', incident, 'version', 'body', 'state')
if not stored[1] then
  return {'missing'}
end
if stored[2] == body then
  return {'done'}
end
if tonumber(stored[1]) ~= tonumber(version) - 1 then
  return {'stale', stored[1]}
end
if not string.find(from, ' ' .. stored[3] .. ' ', 1, true) then
  return {'illegal', stored[3]}
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
redis.call('HSET', incident, 'version', version, 'body', body, 'state', state, 'act', act)
for i = 8, #ARGV do
  redis.call('RPUSH', journal, ARGV[i])
end
return {'done'}
