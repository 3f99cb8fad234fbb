-- look: writes undeclared
-- why: line 6: HMSET has a key that is not taken from KEYS
local rcall = redis.call
local id = rcall("INCR", KEYS[1])
local jobKey = ARGV[1] .. id
rcall("HMSET", jobKey, "name", ARGV[2], "data", ARGV[3])
local push = ARGV[4] == "lifo" and "RPUSH" or "LPUSH"
rcall(push, KEYS[2], id)
return id .. ""
