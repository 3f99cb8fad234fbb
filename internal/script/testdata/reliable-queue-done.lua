-- look: writes repeats
-- seed: RPUSH k1 a b c d b
-- seed: ZADD k2 1 a 2 b 3 c
-- run: 3 | b retry
-- run: 3 | c done
-- run: 3 | x retry
local call = redis.call
local removed = call('LREM', KEYS[1], 1, ARGV[1])
call('ZREM', KEYS[2], ARGV[1])
if removed > 0 and ARGV[2] == 'retry' then
  call('LPUSH', KEYS[3], ARGV[1])
end
return removed
