-- look: writes repeats
-- seed: SET k1 secret
-- run: 1 | wrong
-- run: 1 | secret
-- run: 1 | secret
if redis.call("get",KEYS[1]) == ARGV[1] then
    return redis.call("del",KEYS[1])
else
    return 0
end
