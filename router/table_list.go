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
	write("LMPOP", -4, "W#1", lmpopEffect(1)),
	write("RPOPLPUSH", 3, "W1:2", forwardFound),
	write("LMOVE", 5, "W1:2", moveEffect),

	write("BLPOP", -3, "W1:-2", bpopEffect("LPOP"), blocks(blocking{at: -1, seconds: true,
		try: tryPop("LPOP", "LMPOP", "LEFT", reshapePop, reshapeMpop)})),
	write("BRPOP", -3, "W1:-2", bpopEffect("RPOP"), blocks(blocking{at: -1, seconds: true,
		try: tryPop("RPOP", "LMPOP", "RIGHT", reshapePop, reshapeMpop)})),
	write("BLMPOP", -5, "W#2", lmpopEffect(2), blocks(blocking{at: 1, seconds: true, try: tryMpop("LMPOP")}), since(redis70)),
	write("BLMOVE", 6, "W1:2", moveEffect, blocks(blocking{at: 5, seconds: true, try: tryMove("LMOVE")}), since(redis62)),
	write("BRPOPLPUSH", 4, "W1:2", moveEffect, blocks(blocking{at: 3, seconds: true, try: tryMove("RPOPLPUSH")})),
}
