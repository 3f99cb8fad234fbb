-- look: writes
-- why: SMEMBERS
for _, m in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  redis.call('RPUSH', KEYS[2], m)
end
