package router

import "testing"

func TestUseOfACommand(t *testing.T) {
	for name, want := range map[string]Use{
		"NULL": UsesNothing, "": UsesNothing, "ping": UsesNothing, "info": UsesNothing, "hello": UsesNothing, "auth": UsesNothing,
		"select": UsesNothing, "client|setname": UsesNothing, "client|list": UsesNothing, "client": UsesNothing,
		"config|get": UsesNothing, "config": UsesNothing, "slowlog|get": UsesNothing, "latency": UsesNothing, "monitor": UsesNothing,
		"subscribe": UsesNothing, "publish": UsesNothing, "psync": UsesNothing, "replconf": UsesNothing, "dbsize": UsesNothing,
		"command": UsesNothing, "command|docs": UsesNothing, "acl|whoami": UsesNothing, "wait": UsesNothing, "role": UsesNothing,
		"get": UsesReads, "hgetall": UsesReads, "scan": UsesReads, "keys": UsesReads, "object|freq": UsesReads, "object": UsesReads,
		"eval_ro": UsesReads, "memory|usage": UsesReads, "xinfo": UsesReads, "zscan": UsesReads, "exists": UsesReads,
		"set": UsesWrites, "GETDEL": UsesWrites, "blpop": UsesWrites, "xreadgroup": UsesWrites, "flushdb": UsesWrites, "swapdb": UsesWrites,
		"exec": UsesWrites, "multi": UsesWrites, "evalsha": UsesWrites, "fcall": UsesWrites, "script|load": UsesWrites,
		"function|load": UsesWrites, "xgroup": UsesWrites, "xgroup|create": UsesWrites, "restore": UsesWrites, "migrate": UsesWrites,
		"json.set": UsesWrites, "client|of-a-newer-version": UsesNothing, "script|exists": UsesNothing,
	} {
		if got := UseOf(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}
