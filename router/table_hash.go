package router

// Hashes, with fields that expire.
var hashTable = []Command{
	read("HGET", 3, "R1"),
	read("HMGET", -3, "R1"),
	read("HGETALL", 2, "R1"),
	read("HKEYS", 2, "R1"),
	read("HVALS", 2, "R1"),
	read("HLEN", 2, "R1"),
	read("HSTRLEN", 3, "R1"),
	read("HEXISTS", 3, "R1"),
	read("HRANDFIELD", -2, "R1"),
	read("HSCAN", -3, "R1", cursorAt(2)),
	read("HTTL", -5, "R1"),
	read("HPTTL", -5, "R1"),
	read("HEXPIRETIME", -5, "R1"),
	read("HPEXPIRETIME", -5, "R1"),

	write("HSET", -4, "W1", forwardInt),
	write("HMSET", -4, "W1", forwardOK),
	write("HSETNX", 4, "W1", forwardPositive),
	write("HDEL", -3, "W1", forwardPositive),
	write("HINCRBY", 4, "W1", forwardInt),
	write("HINCRBYFLOAT", 4, "W1", hincrbyfloatEffect, follows(hincrbyfloatFollows)),
	write("HEXPIRE", -6, "W1", hexpireWith(hexpireRelative), follows(hexpireFollows)),
	write("HPEXPIRE", -6, "W1", hexpireWith(hexpireRelative), follows(hexpireFollows)),
	write("HEXPIREAT", -6, "W1", hexpireWith(hexpireSeconds)),
	write("HPEXPIREAT", -6, "W1", hexpireWith(hexpireMillis)),
	write("HPERSIST", -5, "W1", hpersistEffect, since(fieldTTLs)),
	write("HGETDEL", -5, "W1", hgetdelEffect),
	write("HGETEX", -5, "W1", hgetexEffect, writesIf(hgetexWrites), follows(hgetexFollows)),
	write("HSETEX", -6, "W1", hsetexEffect, follows(hsetexFollows)),
}
