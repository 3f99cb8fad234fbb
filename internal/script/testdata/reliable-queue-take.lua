-- look: writes repeats
-- seed: RPUSH k1 a b c d e f
-- run: 4 | 1700000000 worker
-- run: 4 | 1700000001 worker
-- run: 4 | 1700000002 worker
-- run: 4 | 1700000003 worker
-- run: 4 | 1700000004 worker
-- run: 4 | 1700000005 worker
-- run: 4 | 1700000006 worker
-- run: 4 | 1700000007 worker
-- Moves a job from the waiting list to the sorted set of those being worked on.
local job = redis.call('RPOPLPUSH', KEYS[1], KEYS[2])
if job then
  redis.call('ZADD', KEYS[3], ARGV[1], job)
  redis.call('HSET', KEYS[4], job, ARGV[2])
end
return job
