package router

import (
	"fmt"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, c := range []struct{ request, want string }{
		{"get k", "GET"}, {"GeT", "GET"}, {"GETX", ""}, {"", ""}, {"xgroup create k g $", "XGROUP CREATE"},
		{"CLIENT setname x", "CLIENT SETNAME"}, {"CLIENT nonsense", ""}, {"COMMAND nonsense", ""}, {"CONFIG", "CONFIG"},
		{"COMMAND", "COMMAND"}, {"command DOCS get", "COMMAND DOCS"}, {"object encoding k", "OBJECT ENCODING"},
		{"MEMORY USAGE k", "MEMORY USAGE"}, {"HOST: x", "HOST:"}, {"restore-asking k 0 p", "RESTORE-ASKING"},
		{"geot", ""}, {"g\x00t", ""}, {"g%t", ""},
	} {
		var args [][]byte
		if c.request != "" {
			args = request(strings.Fields(c.request)...)
		}
		got := ""
		if cmd := Lookup(args); cmd != nil {
			got = cmd.Name
		}
		if got != c.want {
			t.Errorf("Lookup(%q) = %q, want %q", c.request, got, c.want)
		}
	}
	if c := Lookup(request("COMMAND")); c.Class != Read {
		t.Error("COMMAND alone is refused")
	}
}

// TestLookupFindsNamesAndNothingElse tries every name in several cases, and mutilated.
func TestLookupFindsNamesAndNothingElse(t *testing.T) {
	r := newRand(1)
	for _, table := range tables {
		for i := range table {
			words := strings.Fields(table[i].Name)
			lower := request(strings.Fields(strings.ToLower(table[i].Name))...)
			if byName(table[i].Name) != &table[i] || Lookup(lower) != &table[i] {
				t.Errorf("%s is not found", table[i].Name)
			}
			for range 200 {
				name := []byte(words[0])
				at := r.Intn(len(name))
				name[at] ^= byte(1 << r.Intn(8))
				if got := Lookup([][]byte{name}); got != nil && !strings.EqualFold(string(name), got.Name) {
					t.Fatalf("Lookup(%q) = %s", name, got.Name)
				}
			}
		}
	}
}

func TestIsWriteLooksAtTheArguments(t *testing.T) {
	for _, c := range []struct {
		request string
		want    bool
	}{
		{"GET k", false}, {"SET k v", true}, {"set k", true}, {"GETEX k", false}, {"GETEX k PERSIST", true},
		{"SORT k", false}, {"SORT k BY w_* GET x STORE d", true}, {"SORT k GET STORE", false}, {"SORT k bogus", true},
		{"GEORADIUS k 1 2 3 km", false}, {"GEORADIUS k 1 2 3 km store d", true}, {"GEORADIUS k 1 2 3 km COUNT STORE", false},
		{"GEORADIUSBYMEMBER k m 3 km STOREDIST d", true}, {"GEORADIUSBYMEMBER k m 3 km ASC", false},
		{"BITFIELD k GET u8 0", false}, {"BITFIELD k GET u8 0 SET u8 0 1", true}, {"BITFIELD k", false},
		{"PFCOUNT k", true}, {"PFCOUNT k k", false}, {"HGETEX k FIELDS 1 f", false}, {"HGETEX k EX 9 FIELDS 1 f", true},
		{"XREADGROUP GROUP g c STREAMS s >", true}, {"XREAD STREAMS s 0", false}, {"FLUSHALL", true}, {"MULTI", false},
		{"SWAPDB 0 1", true}, {"PING", false}, {"EVAL x 0", true}, {"EVAL_RO x 0", false}, {"BLPOP k 0", true}, {"WAIT 0 0", false},
		{"MIGRATE h 1 k 0 9", true}, {"MIGRATE h 1 k 0 9 COPY", false}, {"MIGRATE h 1 k 0 9 REPLACE AUTH COPY", true},
		{"DEBUG SLEEP 0", false}, {"debug object k", false}, {"DEBUG RELOAD", true}, {"DEBUG JUST GUESSING", true}, {"SCRIPT LOAD x", true},
		{"PUBLISH c m", false}, {"SUBSCRIBE c", false}, {"WATCH k", false}, {"CONFIG SET a b", false},
	} {
		args := request(strings.Fields(c.request)...)
		if got := Lookup(args).IsWrite(args); got != c.want {
			t.Errorf("IsWrite(%q) = %v", c.request, got)
		}
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		request string
		refused bool
	}{
		{"XREAD BLOCK 0 STREAMS s $", false}, {"BLPOP k 0", false}, {"GET k", false}, {"WATCH k", false}, {"EVAL x 0", false},
		{"CLIENT LIST", false}, {"SHUTDOWN", false}, {"SYNC", true}, {"PSYNC ? -1", true}, {"POST / HTTP/1.1", true}, {"Host: x", true},
		{"SCRIPT DEBUG YES", true}, {"DEBUG PROTOCOL push", true}, {"debug mark-internal-client", true}, {"DEBUG PROTOCOL string", false}, {"DEBUG SLEEP 0", false},
	} {
		args := request(strings.Fields(c.request)...)
		if got := Lookup(args).Refuse(args); (got != "") != c.refused {
			t.Errorf("Refuse(%q) = %q", c.request, got)
		}
	}
}

// keyText prints keys as "w1 r2 w1@3": written args[1], read args[2], written args[1] in database 3.
func keyText(keys []Key, ok bool) string {
	if !ok {
		return "no"
	}
	var items []string
	for _, k := range keys {
		item := map[bool]string{true: "w", false: "r"}[k.Write] + fmt.Sprint(k.Arg)
		if k.DB >= 0 {
			item += fmt.Sprintf("@%d", k.DB)
		}
		items = append(items, item)
	}
	return strings.Join(items, " ")
}

func TestAppendKeys(t *testing.T) {
	for _, c := range []struct{ request, want string }{
		{"GET k", "r1"}, {"GET", "no"}, {"GET k k", "no"}, {"MGET a b c", "r1 r2 r3"}, {"MSET a 1 b 2", "w1 w3"}, {"MSET a 1 b", "no"},
		{"LMPOP 2 a b LEFT", "w2 w3"}, {"LMPOP 3 a b LEFT", "w2 w3 w4"}, {"LMPOP 4 a b LEFT", "no"}, {"LMPOP 0 a b LEFT", "no"},
		{"LMPOP x a b LEFT", "no"}, {"LMPOP 02 a b LEFT", "no"}, {"LMPOP 9223372036854775807 a b LEFT", "no"},
		{"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "w1 r3 r4"}, {"MSETEX 2 a 1 b 2 EX 3", "w2 w4"}, {"MSETEX 2 a 1 b", "no"},
		{"COPY a b", "r1 w2"}, {"COPY a b DB 7 REPLACE", "r1 w2@7"}, {"COPY a b DB", "no"}, {"COPY a b DB -1", "no"},
		{"MOVE a 5", "w1 w1@5"}, {"MOVE a x", "no"}, {"SORT a LIMIT 0 1 STORE d", "r1 w6"}, {"SORT a STORE d GET STORE", "r1 w3"},
		{"GEORADIUS a 1 2 3 m STORE d STOREDIST e", "r1 w9"}, {"BITOP AND d a b", "w2 r3 r4"}, {"XGROUP CREATE s g 0", "w2"},
		{"XREADGROUP GROUP g c COUNT 1 STREAMS a b > 0", "w7 w8"}, {"XREADGROUP GROUP g c STREAMS a b >", "no"},
		{"XREAD COUNT 1 STREAMS a 0", "r4"}, {"GETEX k", "r1"}, {"GETEX k PERSIST", "w1"}, {"PFMERGE d a", "w1 r2"}, {"KEYS *", ""},
		{"EVAL x 2 a b c", "w3 w4"}, {"EVALSHA x 0 c", ""}, {"FCALL f 1", "no"}, {"EVAL x -1", "no"}, {"EVAL x 1x a", "no"},
		{"FCALL_RO f 2 a b", "r3 r4"}, {"BLPOP a b 0", "w1 w2"}, {"BLMPOP 0 2 a b LEFT", "w3 w4"}, {"BLMOVE a b LEFT LEFT 0", "w1 w2"},
		{"BRPOPLPUSH a b 0", "w1 w2"}, {"BZMPOP 0 1 a MIN", "w3"}, {"XREAD BLOCK 0 STREAMS a b $ $", "r4 r5"}, {"WATCH a b", "r1 r2"},
		{"MIGRATE h 1 k 0 9", "w3"}, {"MIGRATE h 1 k 0 9 COPY", "r3"}, {"MIGRATE h 1 k 0 9 KEYS a b", "no"}, {"DEBUG RELOAD", "no"},
		{"REPLICAOF h 1", "no"}, {"PFDEBUG GETREG k", "w2"}, {"SCRIPT LOAD x", ""}, {"PUBLISH c m", ""},
	} {
		args := request(strings.Fields(c.request)...)
		if got := keyText(Lookup(args).AppendKeys(nil, args)); got != c.want {
			t.Errorf("AppendKeys(%q) = %q, want %q", c.request, got, c.want)
		}
	}
}

// TestMigrateNamesKeysBehindAnEmptyOne: MIGRATE with KEYS has an empty key, which no text with spaces has.
func TestMigrateNamesKeysBehindAnEmptyOne(t *testing.T) {
	args := request("MIGRATE", "h", "1", "", "0", "9", "AUTH2", "u", "KEYS", "REPLACE", "KEYS", "a", "b")
	if got := keyText(Lookup(args).AppendKeys(nil, args)); got != "w11 w12" {
		t.Errorf("keys %q", got)
	}
}

func TestAppendKeysKeepsWhatWasThere(t *testing.T) {
	before := []Key{{Arg: 9, DB: 3, Write: true}}
	args := request("PFCOUNT", "a", "b")
	keys, ok := Lookup(args).AppendKeys(before, args)
	if !ok || len(keys) != 3 || keys[0] != before[0] {
		t.Errorf("AppendKeys on %v = %v, %v", before, keys, ok)
	}
}

func TestCursorArg(t *testing.T) {
	for name, want := range map[string]int{"SCAN": 1, "HSCAN": 2, "SSCAN": 2, "ZSCAN": 2, "GET": 0, "VSIM": 0} {
		if got := byName(name).CursorArg; got != want {
			t.Errorf("%s: CursorArg %d, want %d", name, got, want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for _, c := range []struct {
		info string
		want Server
		text string
	}{
		{"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", Server{Version: 70015}, "redis 7.0.15"},
		{"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n", Server{Valkey: true, Version: 90102}, "valkey 9.1.2"},
		{"redis_version:6.0\n", Server{Version: 60000}, "redis 6.0.0"},
		{"redis_version:8.0.0-rc1\r\n", Server{Version: 80000}, "redis 8.0.0"},
		{"redis_version:255.255.255\r\n", Server{Version: 2559999}, "redis 255.99.99"},
	} {
		got, err := ParseServer(c.info)
		if err != nil || got != c.want || got.String() != c.text {
			t.Errorf("ParseServer(%q) = %v, %v", c.info, got, err)
		}
	}
	for _, info := range []string{"", "redis_version:\r\n", "redis_version:x.y\r\n", "-NOPERM"} {
		if got, err := ParseServer(info); err == nil {
			t.Errorf("ParseServer(%q) = %v", info, got)
		}
	}
}

func TestServerCapabilities(t *testing.T) {
	r := func(v int) Server { return Server{Version: v} }
	v := func(v int) Server { return Server{Valkey: true, Version: v} }
	for _, c := range []struct {
		name string
		has  func(Server) bool
		yes  []Server
		no   []Server
	}{
		{"KEEPTTL", Server.HasKeepTTL, []Server{r(60000), v(70200)}, []Server{{}, r(50014)}},
		{"PXAT", Server.HasPXAT, []Server{r(60200), v(70200)}, []Server{r(60016)}},
		{"PEXPIRETIME", Server.HasPExpireTime, []Server{r(70000), v(70200)}, []Server{r(60214)}},
		{"empty consumers", Server.HasEmptyConsumers, []Server{r(70200), v(70200)}, []Server{r(70015)}},
		{"HPEXPIREAT", Server.HasHashFieldTTL, []Server{r(70400), v(90000)}, []Server{r(70209), v(80100)}},
		{"HSETEX", Server.HasHSETEX, []Server{r(80000), v(90000)}, []Server{r(70400), v(80100)}},
		{"MSETEX", Server.HasMSETEX, []Server{r(80400), v(90100)}, []Server{r(80200), v(90000)}},
	} {
		for _, s := range c.yes {
			if !c.has(s) {
				t.Errorf("%s lacks %s", s, c.name)
			}
		}
		for _, s := range c.no {
			if c.has(s) {
				t.Errorf("%s has %s", s, c.name)
			}
		}
	}
}
