package router

// Scripts and functions.
var scriptTable = []Command{
	write("EVAL", -3, "*", scriptEffect, runsScript, find(scriptKeys)),
	write("EVALSHA", -3, "*", scriptEffect, runsScript, find(scriptKeys)),
	write("FCALL", -3, "*", scriptEffect, runsScript, find(scriptKeys)),
	read("EVAL_RO", -3, "*", find(scriptReadKeys)),
	read("EVALSHA_RO", -3, "*", find(scriptReadKeys)),
	read("FCALL_RO", -3, "*", find(scriptReadKeys)),

	container("SCRIPT"),
	everywhere("SCRIPT LOAD", 3, scriptLoadEffect),
	everywhere("SCRIPT FLUSH", -2, scriptFlushEffect),
	read("SCRIPT EXISTS", -3, ""),
	read("SCRIPT HELP", 2, ""),
	read("SCRIPT KILL", 2, "", apart),
	read("SCRIPT SHOW", 3, ""),
	refuse("SCRIPT DEBUG", -3, reasonDebugger),

	container("FUNCTION"),
	everywhere("FUNCTION LOAD", -3, functionLoadEffect, since(redis70)),
	everywhere("FUNCTION DELETE", 3, everywhereOK, since(redis70)),
	everywhere("FUNCTION FLUSH", -2, everywhereOK, since(redis70)),
	everywhere("FUNCTION RESTORE", -3, functionRestoreEffect, since(redis70)),
	read("FUNCTION DUMP", 2, ""),
	read("FUNCTION HELP", 2, ""),
	read("FUNCTION KILL", 2, "", apart),
	read("FUNCTION LIST", -2, ""),
	read("FUNCTION STATS", 2, "", apart),
}
