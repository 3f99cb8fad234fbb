-- look: writes repeats expires
-- run: 1 | 17000000000 500 3 m0
-- run: 1 | 17000000001 500 3 m1
-- run: 1 | 17000000002 500 3 m2
-- run: 1 | 17000000003 500 3 m3
-- run: 1 | 17000000004 500 3 m4
-- run: 1 | 17000000005 500 3 m5
-- run: 1 | 17000000006 500 3 m6
-- run: 1 | 17000000007 500 3 m7
-- run: 1 | 17000000008 500 3 m8
-- run: 1 | 17000000009 500 3 m9
-- run: 1 | 170000000010 500 3 m10
-- run: 1 | 170000000011 500 3 m11
local key = KEYS[1]
local now = tonumber(ARGV[1])
local window = tonumber(ARGV[2])
local limit = tonumber(ARGV[3])
local member = ARGV[4]

redis.call('ZREMRANGEBYSCORE', key, 0, now - window)
local count = redis.call('ZCARD', key)
if count >= limit then
  return {0, limit - count}
end
redis.call('ZADD', key, now, member)
redis.call('PEXPIRE', key, window)
return {1, limit - count - 1}
