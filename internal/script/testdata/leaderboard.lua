-- look: writes repeats numbers
-- run: 2 | ann 0.1
-- run: 2 | bob 3
-- run: 2 | ann 0.05
-- run: 2 | ann 7.25
local old = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
local new = tonumber(ARGV[2])
if not old or new > old then
  redis.call('ZADD', KEYS[1], new, ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], new)
end
return redis.call('ZREVRANK', KEYS[1], ARGV[1])
