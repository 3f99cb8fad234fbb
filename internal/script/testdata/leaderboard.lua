-- look: writes repeats numbers
local old = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
local new = tonumber(ARGV[2])
if not old or new > old then
  redis.call('ZADD', KEYS[1], new, ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], new)
end
return redis.call('ZREVRANK', KEYS[1], ARGV[1])
