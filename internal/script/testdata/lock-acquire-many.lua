-- look: writes repeats expires
-- seed: SET k3 taken
-- run: 3 | secret 100000
-- run: 2 | other 100000
for i, key in ipairs(KEYS) do
  local value = redis.call("set", key, ARGV[1], "NX", "PX", ARGV[2])
  if not value then
    for k = 1, i - 1 do
      redis.call("del", KEYS[k])
    end
    return 0
  end
end
return #KEYS
