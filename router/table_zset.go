package router

// Sorted sets.
var sortedSetTable = []Command{
	read("ZRANGE", -4, "R1"),
	read("ZRANGEBYSCORE", -4, "R1"),
	read("ZRANGEBYLEX", -4, "R1"),
	read("ZREVRANGE", -4, "R1"),
	read("ZREVRANGEBYSCORE", -4, "R1"),
	read("ZREVRANGEBYLEX", -4, "R1"),
	read("ZCARD", 2, "R1"),
	read("ZCOUNT", 4, "R1"),
	read("ZLEXCOUNT", 4, "R1"),
	read("ZRANK", -3, "R1"),
	read("ZREVRANK", -3, "R1"),
	read("ZSCORE", 3, "R1"),
	read("ZMSCORE", -3, "R1"),
	read("ZRANDMEMBER", -2, "R1"),
	read("ZDIFF", -3, "R#1"),
	read("ZINTER", -3, "R#1"),
	read("ZUNION", -3, "R#1"),
	read("ZINTERCARD", -3, "R#1"),
	read("ZSCAN", -3, "R1", cursorAt(2)),

	write("ZADD", -4, "W1", zaddEffect),
	write("ZINCRBY", 4, "W1", forwardFloat),
	write("ZREM", -3, "W1", forwardPositive),
	write("ZREMRANGEBYRANK", 4, "W1", forwardPositive),
	write("ZREMRANGEBYSCORE", 4, "W1", forwardPositive),
	write("ZREMRANGEBYLEX", 4, "W1", forwardPositive),
	write("ZPOPMIN", -2, "W1", zpopEffect),
	write("ZPOPMAX", -2, "W1", zpopEffect),
	write("ZMPOP", -4, "W#1", zmpopEffect(1)),
	write("ZRANGESTORE", -5, "W1 R2", storeFirst, since(redis62)),
	write("ZDIFFSTORE", -4, "W1 R#2", storeFirst, since(redis62)),
	write("ZINTERSTORE", -4, "W1 R#2", zstoreEffect),
	write("ZUNIONSTORE", -4, "W1 R#2", zstoreEffect),

	write("BZPOPMIN", -3, "W1:-2", bzpopEffect, blocks(blocking{at: -1, seconds: true,
		try: tryPop("ZPOPMIN", "ZMPOP", "MIN", reshapeZpop, reshapeZmpop)})),
	write("BZPOPMAX", -3, "W1:-2", bzpopEffect, blocks(blocking{at: -1, seconds: true,
		try: tryPop("ZPOPMAX", "ZMPOP", "MAX", reshapeZpop, reshapeZmpop)})),
	write("BZMPOP", -5, "W#2", zmpopEffect(2), blocks(blocking{at: 1, seconds: true, try: tryMpop("ZMPOP")}), since(redis70)),
}

// Geo indexes, which are sorted sets.
var geoTable = []Command{
	read("GEODIST", -4, "R1"),
	read("GEOHASH", -2, "R1"),
	read("GEOPOS", -2, "R1"),
	read("GEOSEARCH", -7, "R1"),
	read("GEORADIUS_RO", -6, "R1"),
	read("GEORADIUSBYMEMBER_RO", -5, "R1"),

	write("GEOADD", -5, "W1", geoaddEffect),
	write("GEOSEARCHSTORE", -8, "W1 R2", geosearchstoreEffect, since(redis62)),
	write("GEORADIUS", -6, "*", georadiusEffect, find(georadiusKeys), writesIf(georadiusWrites)),
	write("GEORADIUSBYMEMBER", -5, "*", georadiusEffect, find(georadiusKeys), writesIf(georadiusWrites)),
}
