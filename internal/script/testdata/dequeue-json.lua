-- look: writes repeats
-- seed: RPUSH k1 {"slot":7} {"slot":12}
-- run: 3 | 17000000
-- run: 3 | 17000000
-- run: 3 | 17000000
local job = redis.call('LPOP', KEYS[1])
local reserved = false
if (job ~= false) then
  reserved = cjson.decode(job)
  redis.call('SETBIT', KEYS[3], tonumber(reserved['slot']), 1)
  redis.call('ZADD', KEYS[2], ARGV[1], job)
end
return job
