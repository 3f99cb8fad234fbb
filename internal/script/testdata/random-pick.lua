-- look: writes
-- why: SRANDMEMBER
local m = redis.call('SRANDMEMBER', KEYS[1])
redis.call('SMOVE', KEYS[1], KEYS[2], m)
return m
