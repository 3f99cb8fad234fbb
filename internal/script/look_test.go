package script

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// verdict writes facts as the words that testdata uses.
func (f Facts) verdict() string {
	if f.Writes && f.Undeclared && !f.Repeats && !strings.Contains(f.Why, "not taken from KEYS") {
		return "unknown"
	}
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{
		{f.Writes, "writes"}, {!f.Writes, "reads"}, {f.Undeclared, "undeclared"}, {f.Repeats && f.Writes, "repeats"},
		{f.Repeats && f.Expires, "expires"}, {f.Repeats && f.TableOrder, "tables"},
		{f.Repeats && f.NumberText, "numbers"}, {f.Repeats && f.Renames, "renames"},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}

// comment returns what is behind "-- name: " in a source, or "".
func comment(source, name string) string {
	_, rest, _ := strings.Cut(source, "-- "+name+": ")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// corpus is the scripts of testdata by name: what rate limiters, locks and queues are made of.
func corpus(t testing.TB) map[string]string {
	paths, err := filepath.Glob("testdata/*.lua")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	all := map[string]string{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".lua")] = string(b)
	}
	return all
}

func TestScriptsOfTheFieldAreJudgedAsTheirCommentsSay(t *testing.T) {
	for name, source := range corpus(t) {
		f := Look([]byte(source))
		if got, want := f.verdict(), comment(source, "look"); got != want {
			t.Errorf("%s: %q, want %q (%s)", name, got, want, f.Why)
		}
		if why := comment(source, "why"); why != "" && !strings.Contains(f.Why, why) {
			t.Errorf("%s: because %q, want %q", name, f.Why, why)
		}
	}
}

func TestWhatCannotBeFollowedIsNotTrusted(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		// How a command may be hidden.
		{`return redis.call(ARGV[1], KEYS[1])`, "unknown"},
		{`return redis[ARGV[1]]('SET', KEYS[1], 'x')`, "unknown"},
		{`local r = {redis.call}; return r[1]('SET', 'x', 'y')`, "unknown"},
		{`local t = {}; t.call = redis.call; t.call('SET', 'x', 'y')`, "unknown"},
		{`local function f(g) g('SET', 'x', 'y') end f(redis.call)`, "unknown"},
		{`local f = redis.call; f = print; f('x')`, "unknown"},
		{`local f = ARGV[1] and redis.call or redis.pcall; f('SET', KEYS[1], 'y')`, "unknown"},
		{`(function(...) return ... end)(redis).call('SET', 'x', 'y')`, "unknown"},
		{`return pcall(redis.call, 'SET', KEYS[1], 'y')`, "unknown"},
		{`return redis:call('SET', KEYS[1])`, "unknown"},
		{`return _G.redis.call('SET', 'x', 'y')`, "unknown"},
		{`return loadstring('redis.call("SET", "x", "y")')()`, "unknown"},
		{`local s = setmetatable({}, {__index = redis}) s.call('SET', 'x', 'y')`, "unknown"},
		{`rawset(_G, 'redis', nil)`, "unknown"},
		{`function f() end`, "unknown"},
		{`KEYS = {'x'} redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`for _, f in ipairs({redis.call}) do f('SET', 'x', 'y') end`, "unknown"},
		{`return {redis.call}`, "unknown"},
		{`return redis.call`, "unknown"},
		{`redis.call = function() end`, "unknown"},
		{`string.rep = nil return redis.call('GET', KEYS[1])`, "unknown"},
		{`return redis.call` + "`" + `x`, "unknown"},
		{`--[[ redis.call('GET', KEYS[1])`, "unknown"},
		{"--\rredis.call('SET', 'x', 'y')", "writes undeclared"},
		{"--[==[ ]] ]==] redis.call('SET', KEYS[1], 'y')", "writes repeats"},
		{`return redis.call('EVAL', 'x', 0)`, "unknown"},
		{`return redis.call('SORT', KEYS[1], 'STORE', 'x')`, "unknown"},
		{`return redis.call('SELECT', 1)`, "unknown"},
		{`return redis.call('FLUSHALL')`, "unknown"},
		{`return redis.call("\83\69\84", KEYS[1], 'x')`, "writes repeats"},
		{`return redis.call([[SET]], KEYS[1], [=[x]=])`, "writes repeats"},
		{`return redis.call 'PING'`, "reads"},
		{`return server.call('SET', KEYS[1], 'x')`, "writes repeats"},
		{`local redis = redis return redis.call('SET', KEYS[1], 'x')`, "writes repeats"},
		{`local redis = {call = 1} return redis.call('SET', KEYS[1], 'x')`, "reads"}, // an error

		// Which keys are surely those of the call.
		{`redis.call('SET', ARGV[1], 'x')`, "writes undeclared"},
		{`redis.call('SET', 'x', 'y')`, "writes undeclared"},
		{`redis.call('SET', KEYS[1] .. 'x', 'y')`, "writes undeclared"},
		{`redis.call('SET', (KEYS[1]), 'y')`, "writes repeats"},
		{`redis.call('SET', KEYS[1] or 'x', 'y')`, "writes undeclared"},
		{`redis.call('SET', KEYS[1] or KEYS[2], 'y')`, "writes repeats"},
		{`redis.call('SET', KEYS[#KEYS], 'y')`, "writes repeats"},
		{`redis.call('SET', KEYS[tonumber(ARGV[1])], 'y')`, "writes repeats"},
		{`local KEYS = ARGV redis.call('SET', KEYS[1], 'y')`, "writes undeclared"},
		{`KEYS[1] = 'x' redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`local k = KEYS k[1] = 'x' redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`local k = KEYS local l = k l[1] = 'x' redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`table.insert(KEYS, 'x') redis.call('SET', KEYS[2], 'y')`, "unknown"},
		{`table.sort(KEYS) redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`local t = {KEYS} t[1][1] = 'x' redis.call('SET', KEYS[1], 'y')`, "unknown"},
		{`local k = KEYS redis.call('SET', k[1], 'y')`, "writes repeats"},
		{`local k = KEYS[1] k = k .. 'x' redis.call('SET', k, 'y')`, "writes undeclared"},
		{`local k = KEYS[1] if ARGV[1] then k = 'x' end redis.call('SET', k, 'y')`, "writes undeclared"},
		{`local k = KEYS[1] local f = function() k = 'x' end f() redis.call('SET', k, 'y')`, "writes undeclared"},
		{`local a, b = unpack(KEYS) redis.call('RENAME', a, b)`, "writes repeats renames"},
		{`local a, b = 'x', KEYS[1] redis.call('RENAME', a, b)`, "writes undeclared"},
		{`local a, b = KEYS[1] redis.call('RENAME', a, b)`, "writes repeats renames"}, // b is nil: an error
		{`redis.call('RENAME', unpack(KEYS))`, "writes repeats renames"},
		{`redis.call('DEL', unpack(KEYS))`, "writes repeats"},
		{`redis.call('DEL', unpack(ARGV))`, "writes undeclared"},
		{`redis.call('DEL', KEYS[1], unpack(KEYS, 2))`, "writes repeats"},
		{`redis.call('MSET', KEYS[1], ARGV[1], unpack(ARGV, 2))`, "writes undeclared"},
		{`redis.call('DEL', ...)`, "writes undeclared"},
		{`for i, k in pairs(KEYS) do redis.call('DEL', k) end`, "writes repeats"},
		{`for i, k in pairs(ARGV) do redis.call('DEL', k) end`, "writes undeclared"},
		{`for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end`, "writes repeats"},
		{`local i = 1 while KEYS[i] do redis.call('DEL', KEYS[i]) i = i + 1 end`, "writes repeats"},
		{`local i = 1 repeat local k = KEYS[i] redis.call('DEL', k) until not k`, "writes repeats"},
		{`local f = function(k) return redis.call('DEL', k) end f(KEYS[1]) return f(KEYS[2])`, "writes repeats"},
		{`local f = function(k) return redis.call('DEL', k) end f(KEYS[1]) return f('x')`, "writes undeclared"},
		{`local f = function(k) redis.call('DEL', k) end local g = f g('x') f(KEYS[1])`, "writes undeclared"},
		{`local f = function(k) redis.call('DEL', k) end table.sort({'x', 'y'}, f)`, "writes undeclared"},
		{`local function key() return KEYS[1] end redis.call('DEL', key())`, "writes undeclared"},
		{`local function key() return KEYS[1] end local k = key() redis.call('DEL', k)`, "writes repeats"},
		{`local function key() return KEYS[1] or 'x' end local k = key() redis.call('DEL', k)`, "writes undeclared"},
		{`local function f(n, k) if n > 0 then f(n - 1, k) end redis.call('DEL', k) end f(3, KEYS[1])`, "writes repeats"},
		{`local a, b = KEYS[1], 'x' for i = 1, 3 do a, b = b, a end redis.call('DEL', a)`, "writes undeclared"},
		{`redis.call('ZUNIONSTORE', KEYS[1], 2, KEYS[2], KEYS[3], 'WEIGHTS', 1, 2)`, "writes repeats"},
		{`redis.call('ZUNIONSTORE', KEYS[1], 2, KEYS[2], 'x')`, "writes undeclared"},
		{`redis.call('ZUNIONSTORE', KEYS[1], #KEYS - 1, unpack(KEYS, 2))`, "writes repeats"},
		{`redis.call('ZUNIONSTORE', KEYS[1], ARGV[1], KEYS[2], ARGV[2])`, "writes undeclared"},
		{`redis.call('LMPOP', 1, KEYS[1], 'LEFT')`, "writes repeats"},
		{`redis.call('LMPOP', 1, 'x', 'LEFT')`, "writes undeclared"},
		{`return redis.call('GET', 'x')`, "reads"},
		{`redis.call('SET', KEYS[1], redis.call('GET', 'x'))`, "writes"},
		{`redis.call('SET', KEYS[1], redis.call('GET', KEYS[2]))`, "writes repeats"},

		// What is not the same everywhere.
		{`redis.call('SET', KEYS[1], math.random(10))`, "writes"},
		{`math.randomseed(1) redis.call('SET', KEYS[1], tostring(math.random(10)))`, "writes"},
		{`redis.call('SET', KEYS[1], os.clock())`, "writes"},
		{`redis.call('SET', KEYS[1], tostring({}))`, "writes"},
		{`redis.call('SET', KEYS[1], tostring(redis.call('LRANGE', KEYS[2], 0, 1)))`, "writes"},
		{`redis.call('SET', KEYS[1], tostring(redis.call('GET', KEYS[2])))`, "writes repeats"},
		{`local m = {} for i, v in ipairs(ARGV) do m[v] = i end for k in pairs(m) do redis.call('RPUSH', KEYS[1], k) end`, "writes"},
		{`for k in next, {a = 1} do redis.call('RPUSH', KEYS[1], k) end`, "unknown"},
		{`redis.call('SET', KEYS[1], cjson.encode({a = 1, b = 2}))`, "writes repeats tables numbers"},
		{`redis.call('SET', KEYS[1], cjson.encode({1, 'b'}))`, "writes repeats"},
		{`redis.call('SET', KEYS[1], cmsgpack.pack(cjson.decode(ARGV[1])))`, "writes repeats tables numbers"},
		{`redis.call('SPOP', KEYS[1])`, "writes"},
		{`redis.call('XADD', KEYS[1], ARGV[1], 'f', 'v')`, "writes"},
		{`redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])`, "writes"},
		{`redis.call('SET', KEYS[1], 2 ^ 0.5)`, "writes"},
		{`redis.call('SET', KEYS[1], math.sin(1))`, "writes"},
		{`redis.pcall('SET', KEYS[1], 'x')`, "writes"},
		{`pcall(function() redis.call('LPUSH', KEYS[1], 'x') end)`, "writes"},
		{`redis.pcall('GET', KEYS[1]) redis.call('DEL', KEYS[1])`, "writes repeats tables"},
		{`if redis.call('PUBLISH', 'c', 'm') > 0 then redis.call('DEL', KEYS[1]) end`, "writes"},
		{`redis.call('PUBLISH', 'c', 'm') redis.call('DEL', KEYS[1])`, "writes repeats"},
		{`return redis.call('PUBLISH', 'c', 'm')`, "reads"},

		// The text of numbers.
		{`redis.call('SET', KEYS[1], 0.1)`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], 7)`, "writes repeats"},
		{`redis.call('SET', KEYS[1], -7)`, "writes repeats"},
		{`redis.call('SET', KEYS[1], 1e17)`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], -0)`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], '0.1')`, "writes repeats"},
		{`redis.call('SET', KEYS[1], 0.1 .. '')`, "writes repeats"},
		{`redis.call('SET', KEYS[1], ARGV[1] / 3)`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], #KEYS)`, "writes repeats"},
		{`for i = 1, 3 do redis.call('RPUSH', KEYS[1], i) end`, "writes repeats"},
		{`for i = 1, 3, 0.5 do redis.call('RPUSH', KEYS[1], i) end`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], redis.call('ZSCORE', KEYS[2], 'm'))`, "writes repeats numbers"},
		{`redis.call('SET', KEYS[1], 'x' .. redis.call('ZSCORE', KEYS[2], 'm'))`, "writes repeats numbers"},
		{`if redis.call('ZSCORE', KEYS[2], 'm') == ARGV[1] then redis.call('DEL', KEYS[1]) end`, "writes repeats numbers"},
		{`if redis.call('ZSCORE', KEYS[2], 'm') then redis.call('DEL', KEYS[1]) end`, "writes repeats"},
		{`if tonumber(redis.call('ZSCORE', KEYS[2], 'm')) > 3 then redis.call('DEL', KEYS[1]) end`, "writes repeats"},
		{`redis.call('ZADD', KEYS[1], 0.1, 'm')`, "writes repeats"},
		{`redis.call('ZADD', KEYS[1], 1, 0.1)`, "writes repeats numbers"},
		{`redis.call('ZADD', KEYS[1], 'NX', 'CH', 0.1, ARGV[1])`, "writes repeats"},
		{`redis.call('ZADD', KEYS[1], ARGV[1], 1, 0.1)`, "writes repeats numbers"},
		{`redis.call('ZADD', KEYS[1], unpack(ARGV))`, "writes repeats"},
		{`local l = redis.call('LRANGE', KEYS[1], 0, -1) l[1] = 0.5 redis.call('RPUSH', KEYS[2], unpack(l))`, "writes repeats numbers"},
		{`local l = redis.call('LRANGE', KEYS[1], 0, -1) local m = l m[1] = 0.5 redis.call('RPUSH', KEYS[2], l[1])`, "writes repeats numbers"},
		{`local l = redis.call('LRANGE', KEYS[1], 0, -1) redis.call('RPUSH', KEYS[2], unpack(l))`, "writes repeats"},
		{`redis.call('RPUSH', KEYS[2], unpack(redis.call('ZRANGE', KEYS[1], 0, -1)))`, "writes repeats"},
		{`redis.call('RPUSH', KEYS[2], unpack(redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')))`, "writes repeats numbers"},
		{`redis.call('RPUSH', KEYS[2], unpack(redis.call('ZRANGE', KEYS[1], 0, -1, ARGV[1])))`, "writes repeats numbers"},

		// Times to live.
		{`redis.call('SET', KEYS[1], 'x', 'EX', ARGV[1])`, "writes repeats expires"},
		{`redis.call('SET', KEYS[1], 'x', ARGV[1], ARGV[2])`, "writes repeats expires"},
		{`redis.call('SET', KEYS[1], unpack(ARGV))`, "writes repeats expires"},
		{`redis.call('SET', KEYS[1], 'x', 'PXAT', ARGV[1])`, "writes repeats"},
		{`redis.call('SET', KEYS[1], 'x', 'NX', 'KEEPTTL')`, "writes repeats"},
		{`redis.call('PSETEX', KEYS[1], 100, 'x')`, "writes repeats expires"},
		{`redis.call('PEXPIREAT', KEYS[1], ARGV[1])`, "writes repeats"},
		{`redis.call('HEXPIRE', KEYS[1], 10, 'FIELDS', 1, 'f')`, "unknown"},

		// Headers.
		{"#!lua\nredis.call('DEL', KEYS[1])", "writes repeats"},
		{"#!lua flags=no-writes\nredis.call('DEL', 'x')", "reads"},
		{"#!lua flags=allow-oom,no-writes\nreturn redis.call('HGETALL', 'x')", "reads"},
		{"#!python\nredis.call('DEL', KEYS[1])", "unknown"},
		{"#!lua name=x y=z\nredis.call('DEL', KEYS[1])", "unknown"},
		{``, "reads"},
		{`return 1`, "reads"},
		{`return {KEYS[1], ARGV[1], 10}`, "reads"},
		{`return`, "reads"},
	} {
		if f := Look([]byte(c.source)); f.verdict() != c.want {
			t.Errorf("%s\n\tis %q, want %q (%s)", c.source, f.verdict(), c.want, f.Why)
		}
	}
}

func TestCallsThatServersDoNotReport(t *testing.T) {
	for source, want := range map[string]bool{
		`return redis.call('SELECT', 1)`:                                         true,
		`redis.call('XACK', ARGV[1], 'g', '1-1')`:                                true,
		`redis.call("xgroup", 'CREATE', ARGV[1], 'g', '0')`:                      true,
		`pcall(redis.call, [[swapdb]], 0, 1)`:                                    true,
		`redis.call('COPY', KEYS[1], 'x', 'DB', 1)`:                              true,
		`redis.call('HSET', ARGV[1], 'copy', 'x')`:                               false,
		`if ARGV[1] == 'move' then redis.call('SET', ARGV[2], select(1, 2)) end`: false,
		`redis.call('XACK', KEYS[1], 'g', '1-1')`:                                false, // the key is copied
		"#!lua flags=no-writes\nredis.call('XACK', ARGV[1], 'g', '1-1')":         false,
		"#!other\nserver.call('SWAPDB', 0, 1)":                                   true,
		`local name = 'XAck' return redis.call(name, ARGV[1], 'g', '1-1')`:       true,
		`return redis.call(unpack(ARGV))`:                                        false, // its arguments say it
	} {
		if got := Look([]byte(source)).Unreported; got != want {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
	}
	for source, want := range map[string]bool{
		`return redis.call(unpack(ARGV))`: true, `return redis.call(ARGV[1], KEYS[1])`: true, `return redis.call('GET', ARGV[1])`: false,
	} {
		if got := Look([]byte(source)).Computed; got != want {
			t.Errorf("%s: computed: %v, want %v", source, got, want)
		}
	}
	for args, want := range map[string]bool{"0 xgroup CREATE s g 0": true, "1 s XACK": true, "0 XADD s xacks": false, "0": false} {
		if got := NamesUnreported(bytes.Fields([]byte(args))); got != want {
			t.Errorf("%s: %v, want %v", args, got, want)
		}
	}
	l, err := LookLibrary([]byte("#!lua name=l\nredis.register_function('f', function(k, a) return redis.call('XACK', a[1], 'g', a[2]) end)"))
	if err != nil || !l.Functions["f"].Unreported {
		t.Errorf("a function: %v, %v", l.Functions, err)
	}
}
