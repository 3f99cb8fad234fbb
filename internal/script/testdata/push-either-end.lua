-- look: writes repeats
local push
if ARGV[1] == "1" then push = "RPUSH" else push = "LPUSH" end
return redis.call(push, KEYS[1], ARGV[2])
