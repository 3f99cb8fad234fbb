-- look: writes repeats
-- Moves a job from the waiting list to the sorted set of those being worked on.
local job = redis.call('RPOPLPUSH', KEYS[1], KEYS[2])
if job then
  redis.call('ZADD', KEYS[3], ARGV[1], job)
  redis.call('HSET', KEYS[4], job, ARGV[2])
end
return job
