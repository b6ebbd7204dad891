-- Takes `cost` from every bucket, or from none. A bucket that is not there is full.
-- KEYS: buckets. ARGV: cost, then a rate per second and a capacity for each bucket.
-- Levels are whole millionths of a token: one microsecond brings `rate` of them, and rounding
-- down keeps a bucket from giving more than capacity + rate * time. Returns the milliseconds to
-- wait, 0 for admitted, -1 for never.
local MILLION, YEAR_MS = 1000000, 31536000000
local cost = math.ceil(tonumber(ARGV[1]) * MILLION)
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * MILLION + tonumber(time[2])

local levels, wait_ms = {}, 0
for i, bucket in ipairs(KEYS) do
  local rate, capacity = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) * MILLION
  local stored = redis.call('HMGET', bucket, 'level', 'at_us')
  local level = capacity
  if stored[1] then
    local passed_us = math.max(0, now_us - tonumber(stored[2]))
    level = math.min(capacity, tonumber(stored[1]) + passed_us * rate)
  end
  levels[i] = math.floor(level)
  if levels[i] < cost then
    if rate == 0 or capacity < cost then return -1 end
    wait_ms = math.max(wait_ms, math.ceil((cost - levels[i]) / rate / 1000))
  end
end
if wait_ms > 0 then return wait_ms end

for i, bucket in ipairs(KEYS) do
  local rate, capacity = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) * MILLION
  local left = levels[i] - cost
  redis.call('HSET', bucket, 'level', string.format('%.0f', left),
    'at_us', string.format('%.0f', now_us))
  -- full again by then, as one that is not there
  local full_ms = math.min(math.ceil((capacity - left) / rate / 1000) + 1, YEAR_MS)
  redis.call('PEXPIRE', bucket, string.format('%.0f', full_ms))
end
return 0
