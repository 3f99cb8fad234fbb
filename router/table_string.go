package router

// Strings, bitmaps and HyperLogLogs.
var stringTable = []Command{
	read("GET", 2, "R1"),
	read("GETRANGE", 4, "R1"),
	read("SUBSTR", 4, "R1"),
	read("STRLEN", 2, "R1"),
	read("MGET", -2, "R1:-1"),
	read("LCS", -3, "R1:2"),
	read("STRALGO", -2, ""), // 6.0 and 6.2 only
	read("DIGEST", 2, "R1"),

	write("SET", -3, "W1", setEffect, follows(setFollows)),
	write("SETEX", 4, "W1", setexEffect, follows(firstKeyFollows)),
	write("PSETEX", 4, "W1", setexEffect, follows(firstKeyFollows)),
	write("SETNX", 3, "W1", setnxEffect),
	write("GETSET", 3, "W1", getsetEffect),
	write("GETDEL", 2, "W1", getdelEffect),
	write("GETEX", -2, "W1", getexEffect, writesIf(getexWrites), follows(getexFollows)),
	write("DELEX", -2, "W1", delPositive),
	write("DELIFEQ", 3, "W1", delPositive),
	write("MSET", -3, "W1:-1:2", forwardBlindOK),
	write("MSETNX", -3, "W1:-1:2", msetnxEffect),
	write("MSETEX", -4, "W#1:2", msetexEffect, follows(msetexFollows)),
	write("APPEND", 3, "W1", forwardInt),
	write("SETRANGE", 4, "W1", setrangeEffect),
	write("INCR", 2, "W1", forwardInt),
	write("INCRBY", 3, "W1", forwardInt),
	write("DECR", 2, "W1", forwardInt),
	write("DECRBY", 3, "W1", decrbyEffect),
	write("INCRBYFLOAT", 3, "W1", incrbyfloatEffect),
	write("INCREX", -2, "W1", increxEffect, follows(increxFollows)),

	read("GETBIT", 3, "R1"),
	read("BITCOUNT", -2, "R1"),
	read("BITPOS", -3, "R1"),
	read("BITFIELD_RO", -2, "R1"),

	write("SETBIT", 4, "W1", forwardInt),
	write("BITFIELD", -2, "W1", forwardSame, writesIf(bitfieldWrites)), // even refused, it grows the string
	write("BITOP", -4, "W2 R3:-1", bitopEffect),

	write("PFADD", -2, "W1", forwardPositive),
	write("PFMERGE", -2, "W1 R2:-1", forwardOK),
	write("PFCOUNT", -2, "W1:-1", forwardInt, writesIf(pfcountWrites)),
}
