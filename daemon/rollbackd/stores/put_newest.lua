-- Keeps of each key what is newest, in a bounded table, and forgets what has ended.
-- KEYS: HASH key -> body, ZSET of the keys by time. ARGV: prune_before_ms, most, then for each
-- key, time_ms, body (empty when it has ended).
for i = 3, #ARGV, 3 do
  local key, time, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored = redis.call('ZSCORE', KEYS[2], key)
  if not stored or tonumber(time) >= tonumber(stored) then
    if body == '' then
      redis.call('HDEL', KEYS[1], key)
      redis.call('ZREM', KEYS[2], key)
    else
      redis.call('HSET', KEYS[1], key, body)
      redis.call('ZADD', KEYS[2], time, key)
    end
  end
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1])
local surplus = redis.call('ZCARD', KEYS[2]) - #gone - tonumber(ARGV[2])
if surplus > 0 then
  gone = redis.call('ZRANGE', KEYS[2], 0, #gone + surplus - 1)
end
for _, key in ipairs(gone) do
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
return #gone
