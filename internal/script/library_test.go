package script

import "testing"

func TestFunctionsOfALibraryAreJudged(t *testing.T) {
	for _, c := range []struct {
		what, source string
		want         map[string]string
	}{
		{"two functions with a helper", `#!lua name=queue
local function push(key, value)
  redis.call('LPUSH', key, value)
end
local function add(keys, args)
  push(keys[1], args[1])
  return redis.call('LLEN', keys[1])
end
redis.register_function('add', add)
redis.register_function{function_name='peek', callback=function(keys, args)
  return redis.call('LRANGE', keys[1], 0, -1)
end, flags={'no-writes'}}
`, map[string]string{"add": "writes repeats", "peek": "reads"}},
		{"KEYS is no list of keys here", "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('DEL', 'x') end)",
			map[string]string{"f": "writes undeclared"}},
		{"a callback that is also called by another name", `#!lua name=l
local function f(keys) return redis.call('DEL', keys[1]) end
local g = f
redis.register_function('f', f)
redis.register_function('g', function(keys, args) return g(args) end)
`, map[string]string{"f": "unknown", "g": "unknown"}},
		{"one that repeats beside one that does not", `#!lua name=l
local function pop(keys) return redis.call('SPOP', keys[1]) end
local function push(keys, args) return redis.call('RPUSH', keys[1], args[1]) end
redis.register_function('pop', pop)
redis.register_function('push', push)
redis.register_function('both', function(keys, args) pop(keys) end)
redis.register_function('log', function(keys, args) redis.call('SET', 'log', args[1]) end)
`, map[string]string{"pop": "writes", "push": "writes repeats", "both": "unknown", "log": "writes undeclared"}},
		{"a function that is kept in a table for another", `#!lua name=l
local hooks = {}
redis.register_function('set', function(keys, args) hooks[1] = function() redis.call('SET', 'x', 'y') end end)
redis.register_function('run', function(keys, args) hooks[1]() return redis.call('INCR', keys[1]) end)
`, map[string]string{"set": "writes undeclared", "run": "writes undeclared"}},
		{"state that outlives a call", `#!lua name=l
local n = 0
redis.register_function('f', function(keys) n = n + 1 return redis.call('SET', keys[1], n .. '') end)
`, map[string]string{"f": "writes"}},
		{"state in a table", `#!lua name=l
local seen = {}
redis.register_function('f', function(keys, args) seen[args[1]] = 1 return redis.call('SET', keys[1], #seen) end)
`, map[string]string{"f": "writes"}},
		{"state in a closure", `#!lua name=l
local function counter() local n = 0 return function() n = n + 1 return n end end
local next_id = counter()
redis.register_function('f', function(keys, args) return redis.call('SET', keys[1], next_id() .. '') end)
`, map[string]string{"f": "writes"}},
		{"constants are no state", `#!lua name=l
local prefix, limit, floor = 'x', 10, math.floor
redis.register_function('f', function(keys, args)
  if floor(args[1]) < limit then redis.call('RPUSH', keys[1], prefix .. args[1]) end
end)
`, map[string]string{"f": "writes repeats"}},
		{"a name that is computed", "#!lua name=l\nredis.register_function('a' .. 'b', function(keys) end)", map[string]string{}},
		{"what is no Lua", "#!lua name=l\nredis.register_function(", map[string]string{}},
		{"a callback that is computed", "#!lua name=l\nredis.register_function('f', (function() return function(keys) end end)())",
			map[string]string{"f": "unknown"}},
		{"something hidden in what is registered", "#!lua name=l\nredis.register_function('f', function(keys) end, redis)",
			map[string]string{}},
	} {
		l, err := LookLibrary([]byte(c.source))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if len(l.Functions) != len(c.want) {
			t.Errorf("%s: functions are %v, want %v", c.what, l.Functions, c.want)
		}
		for name, want := range c.want {
			if f, ok := l.Functions[name]; !ok || f.verdict() != want {
				t.Errorf("%s: %s is %q, want %q (%s)", c.what, name, f.verdict(), want, f.Why)
			}
		}
	}
}

func TestALibraryHasAHeaderWithItsName(t *testing.T) {
	for _, source := range []string{"", "return 1", "#!lua\nreturn 1", "#!js name=x\n"} {
		if l, err := LookLibrary([]byte(source)); err == nil {
			t.Errorf("%q is a library: %v", source, l)
		}
	}
	l, err := LookLibrary([]byte("#!lua name=mine\n"))
	if err != nil || l.Name != "mine" {
		t.Errorf("%v, %v", l, err)
	}
}
