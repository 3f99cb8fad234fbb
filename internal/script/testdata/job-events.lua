-- look: writes
-- why: XADD
local rcall = redis.call
local id = rcall("RPOPLPUSH", KEYS[1], KEYS[2])
if id then
  rcall("XADD", KEYS[3], "MAXLEN", "~", 10000, "*", "event", "active", "jobId", id)
end
return id
