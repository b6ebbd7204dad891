-- A number above every earlier one of the scope. It follows the clock, so that it is also above
-- those that a failover has lost.
-- KEYS: epoch.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
-- tostring would print an exponent
local epoch = string.format('%.0f', math.max(last + 1, now_us))
redis.call('SET', KEYS[1], epoch)
return epoch
