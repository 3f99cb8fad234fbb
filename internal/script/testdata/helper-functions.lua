-- look: writes repeats expires
-- run: 2 | ann bob 1000
--[[ Helpers are followed
     through their calls. ]]
local function put(key, field, value)
  redis.call('HSET', key, field, value)
end
local function touch(key, ttl)
  if tonumber(ttl) > 0 then
    redis.call('EXPIRE', key, ttl)
  end
end
put(KEYS[1], 'name', ARGV[1])
put(KEYS[2], 'name', ARGV[2])
touch(KEYS[1], ARGV[3])
return 'OK'
