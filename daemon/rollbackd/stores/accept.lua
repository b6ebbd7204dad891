-- Takes alerts into the inbox, and lets go of old ones that nobody needs any more.
-- KEYS: entries, pending, latest, firing, prunable, sequence.
-- ARGV: prune_before_ms, then for each alert: key, fingerprint, firing, received_at_ms, body.
local entries, pending, latest = KEYS[1], KEYS[2], KEYS[3]
local firing, prunable, sequence = KEYS[4], KEYS[5], KEYS[6]

-- `prunable` holds `fingerprint key`, so that an entry can be let go without being parsed.
local function accept(key, fingerprint, is_firing, received_at_ms, body)
  local member = key .. ' ' .. fingerprint
  local before = redis.call('HGET', latest, fingerprint)
  redis.call('HSET', entries, key, body)
  if is_firing == '1' then
    redis.call('SADD', firing, fingerprint)
    redis.call('ZREM', prunable, member)
  else
    redis.call('SREM', firing, fingerprint)
    redis.call('ZADD', prunable, received_at_ms, member)
  end
  if before == key then
    return 0
  end
  if before then
    redis.call('ZADD', prunable, 'NX', received_at_ms, before .. ' ' .. fingerprint)
  end
  redis.call('HSET', latest, fingerprint, key)
  redis.call('ZADD', pending, redis.call('INCR', sequence), key)
  return 1
end

local new = 0
for i = 2, #ARGV, 5 do
  new = new + accept(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end

local old = redis.call('ZRANGEBYSCORE', prunable, '-inf', '(' .. ARGV[1], 'LIMIT', 0, 100)
for _, member in ipairs(old) do
  local key, fingerprint = member:match('^(%S+) (.*)$')
  if not redis.call('ZSCORE', pending, key) then
    redis.call('HDEL', entries, key)
    redis.call('ZREM', prunable, member)
    if redis.call('HGET', latest, fingerprint) == key then
      redis.call('HDEL', latest, fingerprint)
    end
  end
end
return new
