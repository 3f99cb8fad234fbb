-- look: writes repeats
local call = redis.call
local removed = call('LREM', KEYS[1], 1, ARGV[1])
call('ZREM', KEYS[2], ARGV[1])
if removed > 0 and ARGV[2] == 'retry' then
  call('LPUSH', KEYS[3], ARGV[1])
end
return removed
