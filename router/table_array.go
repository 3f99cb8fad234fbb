package router

// Arrays (Redis 8.8) and vector sets (Redis 8.0). An array's insert cursor and a vector set's random graph
// are no part of any reply: what their writes change is copied.
var arrayTable = []Command{
	read("ARCOUNT", -2, "R1"),
	read("ARGET", -2, "R1"),
	read("ARGETRANGE", -2, "R1"),
	read("ARGREP", -2, "R1"),
	read("ARINFO", -2, "R1"),
	read("ARLASTITEMS", -2, "R1"),
	read("ARLEN", -2, "R1"),
	read("ARMGET", -2, "R1"),
	read("ARNEXT", -2, "R1"),
	read("AROP", -2, "R1"),
	read("ARSCAN", -2, "R1"),

	write("ARSET", -2, "W1", copyAlways),
	write("ARMSET", -2, "W1", copyAlways),
	write("ARINSERT", -2, "W1", copyAlways),
	write("ARRING", -2, "W1", copyAlways),
	write("ARSEEK", -2, "W1", copyAlways),
	write("ARDEL", -2, "W1", copyPositive),
	write("ARDELRANGE", -2, "W1", copyPositive),
}

var vectorTable = []Command{
	read("VCARD", -1, "R1"),
	read("VDIM", -1, "R1"),
	read("VEMB", -1, "R1"),
	read("VGETATTR", -1, "R1"),
	read("VINFO", -1, "R1"),
	read("VISMEMBER", -1, "R1"),
	read("VLINKS", -1, "R1"),
	read("VRANDMEMBER", -1, "R1"),
	read("VRANGE", -1, "R1"),
	read("VSIM", -1, "R1"),

	write("VADD", -1, "W1", copyAlways),
	write("VREM", -1, "W1", copyPositive),
	write("VSETATTR", -1, "W1", copyPositive),
}
