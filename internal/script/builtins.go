package script

import "strings"

// feature is what there is to know of a function that servers give to scripts.
type feature struct {
	// result is the kind of the first value it returns; text only if it is called with texts and numbers.
	result kind
	// free: a call of it depends on nothing but its arguments and changes nothing else, and it may be handed
	// on. Others are judged where they are called (judge.go).
	free bool
	// many: it may return more than one value.
	many bool
}

// builtins are the functions that are understood. What is missing in a library depends on more than its
// arguments (math.random: since 7.0 its numbers go on from call to call; os.clock), or on the C library
// (math.sin, math.exp). What is missing outside of them may do anything (loadstring, setmetatable, rawset).
var builtins = map[string]feature{
	"assert": {anything, true, true}, "error": {none, true, false}, "ipairs": {anything, true, true},
	"select": {anything, true, true}, "tonumber": {number, true, false}, "type": {text, true, false},
	"rawequal": {none, true, false}, "unpack": {texts, true, true},
	"tostring": {text, false, false}, "pairs": {anything, false, true}, "next": {anything, false, true},
	"pcall": {anything, false, true}, "xpcall": {anything, false, true},

	"string.byte": {number, true, true}, "string.char": {text, true, false}, "string.find": {anything, true, true},
	"string.format": {text, true, false}, "string.gmatch": {anything, true, true}, "string.gsub": {anything, true, true},
	"string.len": {integer, true, false}, "string.lower": {text, true, false}, "string.match": {scalar, true, true},
	"string.rep": {text, true, false}, "string.reverse": {text, true, false}, "string.sub": {text, true, false},
	"string.upper": {text, true, false},

	"table.concat": {text, true, false}, "table.getn": {integer, true, false}, "table.insert": {none, true, false},
	"table.maxn": {number, true, false}, "table.remove": {anything, true, false}, "table.sort": {none, true, false},

	"math.abs": {number, true, false}, "math.ceil": {number, true, false}, "math.floor": {number, true, false},
	"math.fmod": {number, true, false}, "math.max": {number, true, false}, "math.min": {number, true, false},
	"math.modf": {number, true, true}, "math.sqrt": {number, true, false}, "math.frexp": {number, true, true},
	"math.ldexp": {number, true, false},

	"bit.band": {number, true, false}, "bit.bor": {number, true, false}, "bit.bxor": {number, true, false},
	"bit.bnot": {number, true, false}, "bit.lshift": {number, true, false}, "bit.rshift": {number, true, false},
	"bit.arshift": {number, true, false}, "bit.rol": {number, true, false}, "bit.ror": {number, true, false},
	"bit.bswap": {number, true, false}, "bit.tobit": {number, true, false}, "bit.tohex": {text, true, false},

	"cjson.decode": {anything, true, false}, "cjson.encode": {text, false, false},
	"cmsgpack.unpack": {anything, true, true}, "cmsgpack.pack": {text, false, false},
	"struct.pack": {text, true, false}, "struct.unpack": {anything, true, true}, "struct.size": {number, true, false},

	"redis.call": {anything, false, false}, "redis.pcall": {anything, false, false},
	"redis.error_reply": {anything, true, false}, "redis.status_reply": {anything, true, false},
	"redis.sha1hex": {text, true, false}, "redis.log": {none, true, false}, "redis.debug": {none, true, false},
	"redis.replicate_commands": {none, true, false}, "redis.setresp": {none, false, false},
	"redis.register_function": {none, false, false},
}

// erratic are functions that do no harm, but what they return is not the same everywhere.
var erratic = map[string]bool{"collectgarbage": true, "gcinfo": true, "print": true, "_VERSION": true}

// constants of libraries.
var constants = map[string]kind{
	"math.huge": number, "math.pi": number, "cjson.null": none,
	"redis.LOG_DEBUG": integer, "redis.LOG_VERBOSE": integer, "redis.LOG_NOTICE": integer, "redis.LOG_WARNING": integer,
	"redis.REPL_ALL": integer, "redis.REPL_AOF": integer, "redis.REPL_SLAVE": integer,
	"redis.REPL_REPLICA": integer, "redis.REPL_NONE": integer,
}

var libraries = map[string]string{
	"string": "string", "table": "table", "math": "math", "bit": "bit", "cjson": "cjson", "cmsgpack": "cmsgpack",
	"struct": "struct", "os": "os", "redis": "redis",
	"server": "redis", // its name since Valkey 8
}

// isCall reports whether a builtin runs commands.
func isCall(name string) bool { return name == "redis.call" || name == "redis.pcall" }

// globalValue is what a name stands for that is no local variable's.
func globalValue(name string) value {
	switch name {
	case "KEYS":
		return value{kind: keyTable}
	case "ARGV":
		return value{kind: argTable}
	}
	if lib, ok := libraries[name]; ok {
		return value{kind: library, name: lib}
	}
	if _, ok := builtins[name]; ok && !strings.Contains(name, ".") {
		return value{kind: builtin, name: name}
	}
	return value{kind: anything}
}

// member is what a library has under a name.
func member(lib, name string) value {
	full := lib + "." + name
	if k, ok := constants[full]; ok {
		return value{kind: k}
	}
	if _, ok := builtins[full]; ok {
		return value{kind: builtin, name: full}
	}
	return value{kind: anything}
}
