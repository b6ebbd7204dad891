-- Moves an alias of the query engine if it still leads to the index that was read.
-- ARGV: the alias, the index that was read, the wanted one. Answers 1 when it was moved.

-- simple strings come as tables
local function text(reply)
  return type(reply) == 'table' and reply.ok or reply
end

local info = redis.call('FT.INFO', ARGV[1])
for i = 1, #info - 1, 2 do
  if text(info[i]) == 'index_name' then
    if text(info[i + 1]) ~= ARGV[2] then
      return 0
    end
    redis.call('FT.ALIASUPDATE', ARGV[1], ARGV[3])
    return 1
  end
end
return redis.error_reply('ERR FT.INFO names no index')
