-- Notes which versions a reader runs with, at the server's time.
-- KEYS: readers, seen. ARGV: reader, acknowledgement as JSON, forget_ms.
local readers, seen = KEYS[1], KEYS[2]
local reader, acknowledgement, forget_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local gone = redis.call('ZRANGEBYSCORE', seen, '-inf', now_ms - forget_ms)
for _, each in ipairs(gone) do
  redis.call('HDEL', readers, each)
  redis.call('ZREM', seen, each)
end
redis.call('HSET', readers, reader, acknowledgement)
redis.call('ZADD', seen, now_ms, reader)
return now_ms
