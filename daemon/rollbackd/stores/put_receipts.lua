-- Keeps the rows of keys that nobody has changed meanwhile, and drops what is too old or too much.
-- KEYS: receipts, receipts_seen, receipts_dropped.
-- ARGV: forget_before_ms, most, then for each key: key, body before (empty when there was none),
-- body after, last_ms.
-- Returns the positions of those that were changed meanwhile, how many were too old, how many too many.
local rows, seen, dropped = KEYS[1], KEYS[2], KEYS[3]
local before_ms, most = ARGV[1], tonumber(ARGV[2])
local moved = {}
for i = 3, #ARGV, 4 do
  local key, before, after, last_ms = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if (redis.call('HGET', rows, key) or '') == before then
    redis.call('HSET', rows, key, after)
    redis.call('ZADD', seen, last_ms, key)
  else
    moved[#moved + 1] = (i - 3) / 4
  end
end

local old = redis.call('ZCOUNT', seen, '-inf', '(' .. before_ms)
local surplus = math.max(0, redis.call('ZCARD', seen) - old - most)
if old + surplus > 0 then
  local newest = 0
  local gone = redis.call('ZRANGE', seen, 0, old + surplus - 1, 'WITHSCORES')
  for i = 1, #gone, 2 do
    redis.call('HDEL', rows, gone[i])
    redis.call('ZREM', seen, gone[i])
    newest = gone[i + 1]
  end
  local until_ms = redis.call('GET', dropped)
  if not until_ms or tonumber(until_ms) < tonumber(newest) then
    redis.call('SET', dropped, newest)
  end
end
return {moved, old, surplus}
