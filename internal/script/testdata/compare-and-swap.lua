-- look: writes repeats
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value == ARGV[2] or (not value and ARGV[2] == '') then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return 1
end
return 0
