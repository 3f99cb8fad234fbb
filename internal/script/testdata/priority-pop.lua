-- look: writes repeats numbers
-- seed: ZADD k1 0.1 a 2 b 2 c
-- run: 2 | worker
-- run: 2 | worker
-- run: 2 | worker
-- run: 2 | worker
local popped = redis.call('ZPOPMIN', KEYS[1])
if #popped == 0 then return false end
redis.call('HSET', KEYS[2], popped[1], ARGV[1])
return popped[1]
