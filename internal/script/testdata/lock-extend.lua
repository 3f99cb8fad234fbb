-- look: writes repeats expires
-- seed: MSET k1 secret k2 secret
-- run: 2 | secret 100000
-- run: 3 | secret 100000
-- A lock over several keys: all or none is prolonged.
for _, key in ipairs(KEYS) do
  if redis.call("get", key) ~= ARGV[1] then
    return 0
  end
end
for i, key in ipairs(KEYS) do
  redis.call("pexpire", key, ARGV[2])
end
return #KEYS
