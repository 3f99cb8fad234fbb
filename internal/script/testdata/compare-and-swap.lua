-- look: writes repeats
-- seed: HSET k1 f 0
-- run: 1 | f 0 1
-- run: 1 | f 1 2
-- run: 1 | f 1 3
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value == ARGV[2] or (not value and ARGV[2] == '') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return 1
end
return 0
