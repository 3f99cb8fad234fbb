package router

import (
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// TestMigrateDeletesWhatItMoved runs MIGRATE to a third server.
func TestMigrateDeletesWhatItMoved(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			a := start(t, b)
			second := dial(t, redisdtest.Start(t, redisd.Options{Binary: b.Path}).Addr)
			third := redisdtest.Start(t, redisd.Options{Binary: b.Path})
			to := dial(t, third.Addr)
			host, port, _ := strings.Cut(third.Addr, ":")
			for _, c := range []struct {
				name string
				rest []string
				want string
			}{
				{"one key", []string{"a", "0", "5000"}, "rewritten blind | DEL a"},
				{"a key that is not there", []string{"none", "0", "5000"}, "none"},
				{"several", []string{"", "0", "5000", "REPLACE", "KEYS", "a", "b", "none"}, "rewritten blind | DEL a b none"},
				{"copies", []string{"", "0", "5000", "COPY", "REPLACE", "KEYS", "a", "b"}, "none"},
				{"some of which one is in the way", []string{"", "0", "5000", "KEYS", "a", "b"}, "copy expires"},
				{"an option that is none", []string{"a", "0", "5000", "NONSENSE"}, "none"},
			} {
				for _, k := range []*conn{a, second} {
					k.must("MSET", "a", "1", "b", "2", "c", "3")
				}
				to.must("FLUSHALL")
				if strings.Contains(c.name, "in the way") {
					to.must("SET", "b", "in the way")
				}
				words := append([]string{"MIGRATE", host, port}, c.rest...)
				args := request(words...)
				reply := a.raw(words...)
				var e Effect
				Lookup(args).Effect(&e, &Env{Primary: a.server, Secondary: second.server}, args, reply, nil)
				if got := effectText(&e, args); got != c.want {
					t.Errorf("%s answered %q: %s", c.name, reply, got)
				}
				if e.Kind == Copy {
					continue
				}
				second.exchange(e.Frames, e.N)
				x, y := a.must("KEYS", "*"), second.must("KEYS", "*")
				if join(x.Elems, 1, true) != join(y.Elems, 1, true) {
					t.Errorf("%s answered %q: primary %v, secondary %v", c.name, reply, join(x.Elems, 1, true), join(y.Elems, 1, true))
				}
			}
		})
	}
}

// TestDebugProtocolAnswersOnce in all forms but PUSH, which is refused.
func TestDebugProtocolAnswersOnce(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		k := dial(t, redisdtest.Start(t, redisd.Options{Binary: b.Path, Args: debugArgs(t, b)}).Addr)
		for _, kind := range strings.Fields("string integer double null array set map attrib bignum true false verbatim nonsense") {
			args := request("DEBUG", "PROTOCOL", kind)
			if why := Lookup(args).Refuse(args); why != "" {
				t.Errorf("%s is refused: %s", kind, why)
			}
			k.raw("DEBUG", "PROTOCOL", kind)
			if got := string(k.raw("ECHO", kind)); got != string(appendBulkString(nil, kind)) {
				t.Errorf("%s: behind DEBUG PROTOCOL %s ECHO is answered %q", b.Name, kind, got)
			}
		}
	}
}

// debugArgs switch DEBUG on, which is off from 7.0 on.
func debugArgs(t *testing.T, b redisdtest.Binary) []string {
	if strings.HasPrefix(b.Name, "redis-6") {
		return nil
	}
	return []string{"--enable-debug-command", "yes"}
}

// TestHarmlessDebugIsKnown: each of these subcommands is in the help of some version.
func TestHarmlessDebugIsKnown(t *testing.T) {
	binaries := redisdtest.Binaries(t)
	if len(binaries) < 5 {
		t.Logf("only %d versions are here: names are checked where all are", len(binaries))
		return
	}
	help := map[string]bool{"HELP": true}
	for _, b := range binaries {
		k := dial(t, redisdtest.Start(t, redisd.Options{Binary: b.Path, Args: debugArgs(t, b)}).Addr)
		for _, line := range k.must("DEBUG", "HELP").Elems {
			name, _, _ := strings.Cut(strings.ToUpper(string(line.Str)), " ")
			for word := range strings.SplitSeq(name, "|") {
				help[word] = true
			}
		}
	}
	for name := range harmlessDebug {
		if !help[name] {
			t.Errorf("no server has DEBUG %s", name)
		}
	}
}

func TestDeny(t *testing.T) {
	deny, err := NewDeny([]string{"shutdown", "CONFIG set", "debug", "MOD.FLUSH", "FT.CONFIG  SET", "CLUSTER"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"SHUTDOWN NOSAVE": true, "CONFIG SET a b": true, "config get a": false, "CONFIG": false, "DEBUG SLEEP 1": true, "GET k": false,
		"CLUSTER INFO": true, "CLUSTER": true, "SET k v": false,
	} {
		if got := deny.Denies(Lookup(requestOf(text))); got != want {
			t.Errorf("%s is denied: %v", text, got)
		}
	}
	for name, want := range map[string]bool{"mod.flush": true, "MOD.SET": false, "ft.config set": true, "FT.CONFIG GET": false, "cluster new": true} {
		if got := deny.Denies(Unknown(name)); got != want {
			t.Errorf("%s is denied: %v", name, got)
		}
	}
	for _, names := range [][]string{{""}, {"GET", " "}, {"CONFIG SET maxmemory"}} {
		if _, err := NewDeny(names); err == nil {
			t.Errorf("%q makes a list", names)
		}
	}
	var nothing *Deny
	if nothing.Denies(byName("SHUTDOWN")) {
		t.Error("no list denies something")
	}
}

// TestDefaultDeny: each of its names is a command, and no other command is denied by it.
func TestDefaultDeny(t *testing.T) {
	deny, err := NewDeny(DefaultDeny)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range DefaultDeny {
		if byName(name) == nil {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, c := range All() {
		if got := deny.Denies(c); got != slices.Contains(DefaultDeny, c.Name) {
			t.Errorf("%s is denied: %v", c.Name, got)
		}
	}
}
