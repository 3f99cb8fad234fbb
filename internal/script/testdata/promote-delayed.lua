-- look: writes repeats
-- seed: ZADD k1 1 a 2 b 2.5 c 3 d 9 e 10 f
-- run: 2 | 3
-- run: 2 | 3
-- run: 2 | 9.5
-- Moves the jobs whose time has come, at most 100 at once.
local rcall = redis.call
local delayed, waiting = KEYS[1], KEYS[2]
local jobs = rcall('ZRANGEBYSCORE', delayed, 0, ARGV[1], 'LIMIT', 0, 100)
if #jobs > 0 then
  rcall('ZREM', delayed, unpack(jobs))
  for _, job in ipairs(jobs) do
    rcall('LPUSH', waiting, job)
  end
end
return jobs
