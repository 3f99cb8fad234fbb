-- look: unknown
-- why: line 3: the name of a command is computed
return redis.call(ARGV[1], unpack(KEYS))
