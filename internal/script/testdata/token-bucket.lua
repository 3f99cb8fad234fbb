-- look: writes repeats expires numbers
-- run: 2 | 0.7 3 1700000000 1
-- run: 2 | 0.7 3 1700000001 1
-- run: 2 | 0.7 3 1700000002 1
-- run: 2 | 0.7 3 1700000003 1
-- run: 2 | 0.7 3 1700000004 1
-- run: 2 | 0.7 3 1700000005 1
-- run: 2 | 0.7 3 1700000006 1
-- run: 2 | 0.7 3 1700000007 1
-- run: 2 | 0.7 3 1700000008 1
local tokens_key = KEYS[1]
local timestamp_key = KEYS[2]
local rate = tonumber(ARGV[1])
local capacity = tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local requested = tonumber(ARGV[4])
local ttl = math.floor((capacity / rate) * 2)

local last_tokens = tonumber(redis.call("get", tokens_key))
if last_tokens == nil then
  last_tokens = capacity
end
local last_refreshed = tonumber(redis.call("get", timestamp_key))
if last_refreshed == nil then
  last_refreshed = 0
end
local delta = math.max(0, now - last_refreshed)
local filled = math.min(capacity, last_tokens + (delta * rate))
local allowed = filled >= requested
local new_tokens = filled
local allowed_num = 0
if allowed then
  new_tokens = filled - requested
  allowed_num = 1
end
if ttl > 0 then
  redis.call("setex", tokens_key, ttl, new_tokens)
  redis.call("setex", timestamp_key, ttl, now)
end
return { allowed_num, new_tokens }
