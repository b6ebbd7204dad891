-- Puts a known good set where none is of its id and key, or replaces one that is as expected.
-- KEYS: sets, order, good, known_good, keys.
-- ARGV: id, recorded_at_ms, good_since_ms or '', body, expected body or '', key or '', most sets.
-- Answers with the body that is in the store, then the ids of the sets that had to go.
local id, good_since, body, expected, key = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local stored = redis.call('HGET', KEYS[1], id)
if expected == '' then
  if not stored and key ~= '' then
    local same = redis.call('HGET', KEYS[5], key)
    stored = same and redis.call('HGET', KEYS[1], same)
  end
  if stored then
    return {stored}
  end
  if key ~= '' then
    redis.call('HSET', KEYS[5], key, id)
  end
elseif stored ~= expected then
  return {stored or ''}
end
redis.call('HSET', KEYS[1], id, body)
redis.call('ZADD', KEYS[2], ARGV[2], id)
if good_since == '' then
  redis.call('ZREM', KEYS[3], id)
else
  redis.call('ZADD', KEYS[3], good_since, id)
end
-- Of several since the same time the last one that was put counts.
local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local in_force = newest[1]
for _, rival in ipairs({redis.call('HGET', KEYS[4], 'id') or '', id}) do
  if in_force and redis.call('ZSCORE', KEYS[3], rival) == newest[2] then
    in_force = rival
  end
end
if in_force then
  redis.call('HSET', KEYS[4], 'id', in_force, 'body', redis.call('HGET', KEYS[1], in_force))
else
  redis.call('DEL', KEYS[4])
end
local answer = {body}
local extra = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[7])
if extra > 0 then
  local going = {}
  for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, extra)) do
    if old ~= in_force and extra > 0 then
      redis.call('HDEL', KEYS[1], old)
      redis.call('ZREM', KEYS[2], old)
      redis.call('ZREM', KEYS[3], old)
      going[old] = true
      extra = extra - 1
      answer[#answer + 1] = old
    end
  end
  local keys = redis.call('HGETALL', KEYS[5])
  for at = 1, #keys, 2 do
    if going[keys[at + 1]] then
      redis.call('HDEL', KEYS[5], keys[at])
    end
  end
end
return answer
