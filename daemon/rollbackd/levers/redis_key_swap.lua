-- Sets a string key if it still holds what was read, and keeps its time to live.
-- KEYS: the key. ARGV: what was read, what is wanted. Answers 1 when it was set.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
