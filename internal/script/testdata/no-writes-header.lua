#!lua flags=no-writes
-- look: reads

return redis.call(ARGV[1], unpack(KEYS))
