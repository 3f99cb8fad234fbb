package router

// Sets.
var setTable = []Command{
	read("SMEMBERS", 2, "R1"),
	read("SISMEMBER", 3, "R1"),
	read("SMISMEMBER", -3, "R1"),
	read("SCARD", 2, "R1"),
	read("SRANDMEMBER", -2, "R1"),
	read("SINTER", -2, "R1:-1"),
	read("SUNION", -2, "R1:-1"),
	read("SDIFF", -2, "R1:-1"),
	read("SINTERCARD", -3, "R#1"),
	read("SUNIONCARD", -3, "R#1"),
	read("SDIFFCARD", -3, "R#1"),
	read("SSCAN", -3, "R1", cursorAt(2)),

	write("SADD", -3, "W1", forwardPositive),
	write("SREM", -3, "W1", forwardPositive),
	write("SPOP", -2, "W1", spopEffect),
	write("SMOVE", 4, "W1:2", forwardPositive),
	write("SINTERSTORE", -3, "W1 R2:-1", storeFirst),
	write("SUNIONSTORE", -3, "W1 R2:-1", storeFirst),
	write("SDIFFSTORE", -3, "W1 R2:-1", storeFirst),
}
