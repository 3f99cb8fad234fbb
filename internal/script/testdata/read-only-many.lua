-- look: reads
-- why: line 5: HGETALL
local out = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, 9)) do
  out[#out + 1] = redis.call('HGETALL', 'item:' .. id)
end
return out
