-- look: writes repeats
-- run: 1 | 1 a
-- run: 1 | 0 b
-- run: 1 | 1 c
local push
if ARGV[1] == "1" then push = "RPUSH" else push = "LPUSH" end
return redis.call(push, KEYS[1], ARGV[2])
