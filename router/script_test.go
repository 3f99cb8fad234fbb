package router

import (
	"fmt"
	"strings"
	"testing"

	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// failing are scripts and functions that end with an error, each after KEYS[1] was made "before". ran says
// whether something ran; then the keys must be copied, whatever the error looks like.
var failing = []struct {
	name  string
	words []string
	ran   bool
}{
	{"no such script", []string{"EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "1", "k"}, false},
	{"too few arguments", []string{"EVAL", "x"}, false},
	{"fewer keys than said", []string{"EVAL", "return 1", "2", "k"}, false},
	{"a number of keys that is none", []string{"EVAL", "return 1", "x", "k"}, false},
	{"less than no keys", []string{"EVALSHA", "x", "-1", "k"}, false},
	{"no such function", []string{"FCALL", "none", "1", "k"}, false},
	{"it fails behind a write", []string{"EVAL", "redis.call('SET',KEYS[1],'x') redis.call('LPUSH',KEYS[1],1)", "1", "k"}, true},
	{"it raises an error", []string{"EVAL", "redis.call('SET',KEYS[1],'x') error('NOSCRIPT No matching script')", "1", "k"}, true},
	{"it hands on an error", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('LPUSH',KEYS[1],1)", "1", "k"}, true},
	{"it hands on that a command is not known", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('NOSUCH')", "1", "k"}, true},
	{"it hands on a wrong arity", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('GET')", "1", "k"}, true},
	{"it calls a script", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('EVAL','return 1','0')", "1", "k"}, true},
	{"it calls a script that is not there", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('EVALSHA','f','0')", "1", "k"}, true},
	{"it calls a function that is not there", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return redis.pcall('FCALL','f','0')", "1", "k"}, true},
	{"it makes up that it may not", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return {err='NOPERM no permissions to run the \\'set\\' command'}", "1", "k"}, true},
	{"it makes up that it has too few arguments", []string{"EVAL", "redis.call('SET',KEYS[1],'x') return {err='ERR wrong number of arguments for \\'set\\' command'}", "1", "k"}, true},
	{"it does not compile", []string{"EVAL", "nonsense(", "1", "k"}, true}, // nothing ran, but that is not worth a rule
}

// TestScriptsThatFailAreCopiedIfTheyRan on every version: no error that a script can end with is taken for
// one of the server's that come before it.
func TestScriptsThatFailAreCopiedIfTheyRan(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		for _, f := range failing {
			t.Run(b.Name+": "+f.name, func(t *testing.T) {
				k.must("SET", "k", "before")
				args := request(f.words...)
				reply := k.raw(f.words...)
				if !isError(reply) {
					t.Fatalf("answered %q", reply)
				}
				changed := string(k.must("GET", "k").Str) != "before"
				if changed && !f.ran {
					t.Fatalf("answered %q, but it ran", reply)
				}
				var e Effect
				Lookup(args).Effect(&e, &Env{}, args, reply, nil)
				if e.Kind != map[bool]Kind{true: Copy, false: None}[f.ran] {
					t.Errorf("answered %q: effect of kind %d", reply, e.Kind)
				}
			})
		}
	}
}

// TestScriptsThatAUserMayNotRunHaveNoEffect: what the server says when it does not let somebody run a script
// at all, and what it says when the script does what it may not.
func TestScriptsThatAUserMayNotRunHaveNoEffect(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		k.must("ACL", "SETUSER", "none", "on", ">x", "~*", "+@all", "-eval", "-evalsha")
		k.must("ACL", "SETUSER", "some", "on", ">x", "~*", "+@all", "-lpush")
		sha := string(k.must("SCRIPT", "LOAD", "return 1").Str)
		kindOf := func(words ...string) Kind {
			args := request(words...)
			reply := k.raw(words...)
			if !isError(reply) {
				t.Errorf("%s: %q answered %q", b.Name, words, reply)
			}
			var e Effect
			Lookup(args).Effect(&e, &Env{}, args, reply, nil)
			return e.Kind
		}
		k.must("AUTH", "none", "x")
		if kindOf("EVAL", "return 1", "1", "k") != None || kindOf("evalsha", sha, "1", "k") != None {
			t.Errorf("%s: a script that may not run has an effect", b.Name)
		}
		k.must("AUTH", "some", "x")
		for _, call := range []string{"redis.call('LPUSH',KEYS[1],1)", "return redis.pcall('LPUSH',KEYS[1],1)"} {
			if kindOf("EVAL", "redis.call('SET',KEYS[1],'x') "+call, "1", "k") != Copy {
				t.Errorf("%s: a script that was stopped has no effect", b.Name)
			}
		}
	}
}

// TestScriptsAreToldApart: what may write and what may not.
func TestScriptsAreToldApart(t *testing.T) {
	for name, want := range map[string]bool{"EVAL": true, "EVALSHA": true, "FCALL": true, "EVAL_RO": false, "EVALSHA_RO": false,
		"FCALL_RO": false, "SCRIPT LOAD": false, "SET": false} {
		if got := byName(name).IsScript(); got != want {
			t.Errorf("%s is a script: %v", name, got)
		}
	}
}

// TestAScriptIsKilledFromAnotherConnection: on the one where it runs SCRIPT KILL would wait for its end.
func TestAScriptIsKilledFromAnotherConnection(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		k.must("CONFIG", "SET", "lua-time-limit", "1")
		other := dial(t, k.c.RemoteAddr().String())
		if _, err := k.c.Write(resp.AppendCommand(nil, "EVAL", "while true do end", "0")); err != nil {
			t.Fatal(err)
		}
		for busy := false; !busy; {
			busy = strings.HasPrefix(string(other.raw("GET", "k")), "-BUSY ")
		}
		reply := other.raw("GET", "k")
		if !refusedUnseen(request("EVAL"), reply) {
			t.Errorf("%s: %q may come after something ran", b.Name, reply)
		}
		for _, name := range []string{"SCRIPT KILL", "FUNCTION KILL", "FUNCTION STATS"} {
			if !byName(name).Apart() {
				t.Errorf("%s waits behind the script", name)
			}
		}
		other.must("SCRIPT", "KILL")
		killed := k.exchange(nil, 1)[0]
		var e Effect
		byName("EVAL").Effect(&e, &Env{}, request("EVAL", "while true do end", "0"), killed, nil)
		if e.Kind != Copy {
			t.Errorf("%s: a script that was killed with %q has no effect", b.Name, killed)
		}
	}
}

const library = "#!lua name=%s\nredis.register_function('%s', function(keys, args) return %d end)"

// TestWhatIsLoadedReachesTheSecondary loads, replaces and deletes scripts and functions, on a secondary that
// may have had some of them before.
func TestWhatIsLoadedReachesTheSecondary(t *testing.T) {
	lib := func(name string, n int) string { return fmt.Sprintf(library, name, "f_"+name, n) }
	for _, pair := range pairs {
		t.Run(pair.from+" to "+pair.to, func(t *testing.T) {
			from, to, ok := pairOf(t, pair.from, pair.to)
			if !ok {
				return
			}
			a, b := start(t, from), start(t, to)
			env := &Env{DBs: 1, Primary: a.server, Secondary: b.server}
			run := func(words ...string) {
				t.Helper()
				args := request(words...)
				cmd := Lookup(args)
				if cmd.Class != Everywhere || !cmd.IsWrite(args) {
					t.Fatalf("%q is of class %d", words, cmd.Class)
				}
				if keys, ok := cmd.AppendKeys(nil, args); !ok || len(keys) > 0 {
					t.Fatalf("%q has keys %v, %v", words, keys, ok)
				}
				var e Effect
				reply := a.raw(words...)
				cmd.Effect(&e, env, args, reply, nil)
				frames, n := e.Frames, e.N
				switch {
				case isError(reply):
					if e.Kind != None {
						t.Fatalf("%q was refused with %q and has an effect", words, reply)
					}
					return
				case e.Kind == Verbatim:
					frames, n = resp.AppendArgs(nil, args), 1
				case e.Kind != Rewritten:
					t.Fatalf("%q: effect of kind %d", words, e.Kind)
				}
				for i, got := range b.exchange(frames, n) {
					if !e.Expects[i].Match(got) {
						t.Errorf("%q answered %q: %q was answered %q", words, reply, frames, got)
					}
				}
			}
			run("SCRIPT", "LOAD", "return 1")
			run("script", "load", "nonsense(")
			for _, sha := range []string{"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"} {
				if b.must("SCRIPT", "EXISTS", sha).Elems[0].Int != 1 {
					t.Error("the script is not there")
				}
				run("SCRIPT", "FLUSH")
				run("SCRIPT", "FLUSH", "SYNC")
				run("SCRIPT", "FLUSH", "NONSENSE")
				if b.must("SCRIPT", "EXISTS", sha).Elems[0].Int != 0 {
					t.Error("the script is still there")
				}
			}
			if !redis70.in(a.server) {
				run("FUNCTION", "LOAD", lib("one", 1))
				return
			}
			same := func() {
				t.Helper()
				x, y := a.must("FUNCTION", "LIST", "WITHCODE"), b.must("FUNCTION", "LIST", "WITHCODE")
				if join(x.Elems, 1, true) != join(y.Elems, 1, true) {
					t.Errorf("primary %s\nsecondary %s", join(x.Elems, 1, true), join(y.Elems, 1, true))
				}
			}
			b.must("FUNCTION", "LOAD", lib("one", 7)) // of before the migration
			run("FUNCTION", "LOAD", lib("one", 1))
			run("FUNCTION", "LOAD", lib("one", 2))
			same()
			run("FUNCTION", "LOAD", "REPLACE", lib("one", 3))
			run("function", "load", lib("two", 1))
			same()
			run("FUNCTION", "DELETE", "one")
			run("FUNCTION", "DELETE", "none")
			same()
			dump := string(a.must("FUNCTION", "DUMP").Str)
			run("FUNCTION", "FLUSH", "ASYNC")
			same()
			if a.server.Valkey == b.server.Valkey {
				b.must("FUNCTION", "LOAD", lib("two", 9))
				run("FUNCTION", "RESTORE", dump)
				same()
				run("FUNCTION", "RESTORE", dump)
				run("FUNCTION", "RESTORE", dump, "REPLACE")
				run("FUNCTION", "RESTORE", dump, "flush")
				same()
			}
			run("FUNCTION", "FLUSH")
			same()
		})
	}
}

// TestFunctionsForAServerWithoutThem are a copy, which for what has no keys says that there is no form.
func TestFunctionsForAServerWithoutThem(t *testing.T) {
	env := &Env{Primary: Server{Version: 70015}, Secondary: Server{Version: 60016}}
	for request, want := range map[string]string{
		"FUNCTION DELETE x": "copy", "SCRIPT FLUSH ASYNC": "rewritten blind | SCRIPT FLUSH", "SCRIPT FLUSH": "verbatim blind", "FUNCTION LOAD x": "copy",
	} {
		args := requestOf(request)
		var e Effect
		Lookup(args).Effect(&e, env, args, []byte("+OK\r\n"), nil)
		e.MayExpire = false
		if got := effectText(&e, args); got != want {
			t.Errorf("%s: %s", request, got)
		}
	}
}

func requestOf(text string) [][]byte { return request(strings.Fields(text)...) }
