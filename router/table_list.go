package router

// Lists.
var listTable = []Command{
	read("LRANGE", 4, "R1"),
	read("LINDEX", 3, "R1"),
	read("LLEN", 2, "R1"),
	read("LPOS", -3, "R1"),

	write("LPUSH", -3, "W1", forwardInt),
	write("RPUSH", -3, "W1", forwardInt),
	write("LPUSHX", -3, "W1", forwardPositive),
	write("RPUSHX", -3, "W1", forwardPositive),
	write("LINSERT", 5, "W1", forwardPositive),
	write("LSET", 4, "W1", forwardOK),
	write("LREM", 4, "W1", forwardPositive),
	write("LTRIM", 4, "W1", forwardOK),
	write("LPOP", -2, "W1", popEffect),
	write("RPOP", -2, "W1", popEffect),
	write("LMPOP", -4, "W#1", lmpopEffect),
	write("RPOPLPUSH", 3, "W1:2", forwardFound),
	write("LMOVE", 5, "W1:2", moveEffect),

	refuse("BLPOP", -3, reasonBlock),
	refuse("BRPOP", -3, reasonBlock),
	refuse("BLMPOP", -5, reasonBlock),
	refuse("BLMOVE", 6, reasonBlock),
	refuse("BRPOPLPUSH", 4, reasonBlock),
}
