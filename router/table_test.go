package router

import (
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// serverCommand is what a server's COMMAND says of one command.
type serverCommand struct {
	name  string
	arity int
	write bool
}

// commands walks through COMMAND, subcommands included.
func (k *conn) commands() (all []serverCommand) {
	var add func(v resp.Value)
	add = func(v resp.Value) {
		c := serverCommand{
			name:  strings.ReplaceAll(strings.ToUpper(string(v.Elems[0].Str)), "|", " "),
			arity: int(v.Elems[1].Int),
		}
		for _, flag := range v.Elems[2].Elems {
			c.write = c.write || string(flag.Str) == "write"
		}
		all = append(all, c)
		if len(v.Elems) > 9 {
			for _, sub := range v.Elems[9].Elems {
				add(sub)
			}
		}
	}
	for _, v := range k.must("COMMAND").Elems {
		add(v)
	}
	return all
}

// byName looks up a command by its full name.
func byName(name string) *Command { return Lookup(request(strings.Fields(name)...)) }

// flagless are commands that have an effect although no server flags them as writing: PFCOUNT replaces the
// count that is kept in the key; scripts write by what they call; administration changes keys without naming
// them; what is loaded is no key.
var flagless = strings.Split("PFCOUNT,EVAL,EVALSHA,FCALL,SCRIPT LOAD,SCRIPT FLUSH,DEBUG,REPLICAOF,SLAVEOF,"+
	"CLUSTER REPLICATE,CLUSTER RESET,CLUSTER MIGRATESLOTS,CLUSTER MIGRATION", ",")

// TestTableAgreesWithEveryServer compares each line with COMMAND of every version that is here.
func TestTableAgreesWithEveryServer(t *testing.T) {
	laxest := map[string]int{} // by name: the laxest arity of all servers
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		for _, s := range k.commands() {
			c := byName(s.name)
			if c == nil || c.Name != s.name {
				t.Errorf("%s: %s is not in the table", b.Name, s.name)
				continue
			}
			if c.Class == Refused && c.Reason == "" || c.Class != Refused && c.Reason != "" {
				t.Errorf("%s: class %d with reason %q", s.name, c.Class, c.Reason)
			}
			writes := c.Class == Write || c.Class == Barrier || c.Class == Everywhere
			switch {
			case c.Class == Refused:
			case s.write && !writes && !c.container:
				t.Errorf("%s: %s writes, but its class is %d", b.Name, s.name, c.Class)
			case !s.write && writes && !slices.Contains(flagless, s.name):
				t.Errorf("%s: %s does not write, but its class is %d", b.Name, s.name, c.Class)
			}
			if was, ok := laxest[s.name]; !ok || laxer(s.arity, was) {
				laxest[s.name] = s.arity
			}
		}
	}
	for name, arity := range laxest {
		if c := byName(name); c != nil && c.Arity != arity {
			t.Errorf("%s: arity %d, the servers' is %d", name, c.Arity, arity)
		}
	}
}

// laxer reports whether arity a admits all that b does, and more.
func laxer(a, b int) bool {
	if a >= 0 {
		return false
	}
	return b >= 0 || -a < -b
}

// notHere are commands of versions later than those that the tests can start.
var notHere = strings.Fields(`DIGEST DELEX INCREX SUNIONCARD SDIFFCARD XDELEX XACKDEL XNACK XCFGSET XIDMPRECORD
	VRANGE HOTKEYS SFLUSH TRIMSLOTS SENTINEL ARCOUNT ARGET ARGETRANGE ARGREP ARINFO ARLASTITEMS ARLEN ARMGET
	ARNEXT AROP ARSCAN ARSET ARMSET ARINSERT ARRING ARSEEK ARDEL ARDELRANGE`)

// TestTableHasNoMisspelledCommand: what no server has is a mistake, but for what is later than all of them.
func TestTableHasNoMisspelledCommand(t *testing.T) {
	binaries := redisdtest.Binaries(t)
	if len(binaries) < 5 {
		t.Logf("only %d versions are here: names are checked where all are", len(binaries))
		return
	}
	known := map[string]bool{}
	for _, b := range binaries {
		for _, s := range start(t, b).commands() {
			known[s.name] = true
		}
	}
	for _, table := range tables {
		for i := range table {
			name, _, _ := strings.Cut(table[i].Name, " ")
			if !known[name] && !slices.Contains(notHere, name) {
				t.Errorf("no server has %s", name)
			}
		}
	}
}

// keyExceptions are commands of which the servers do not say what the table does: XREADGROUP changes the
// stream's group, MOVE also writes in the other database; PFCOUNT of several keys, and GETEX and HGETEX
// without an option, change nothing.
var keyExceptions = []string{"XREADGROUP", "MOVE", "PFCOUNT", "GETEX", "HGETEX"}

// TestKeysAgreeWithTheServers compares the places of keys in samples of every writing command, in all forms,
// with COMMAND GETKEYS.
func TestKeysAgreeWithTheServers(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			k := start(t, b)
			r := &sampler{Rand: newRand(seedOf(t)), dumps: []string{"x"}}
			compared := 0
			for _, sample := range samples {
				for range 4 {
					args := r.request(sample)
					if compareKeys(t, k, args) {
						compared++
					}
				}
			}
			if compared < 2*len(samples) {
				t.Errorf("only %d of %d requests were compared", compared, 4*len(samples))
			}
		})
	}
}

// compareKeys compares one request's keys, and reports whether the server knew it.
func compareKeys(t *testing.T, k *conn, args [][]byte) bool {
	t.Helper()
	words := []string{"COMMAND", "GETKEYS"}
	flags := k.server.HasPExpireTime()
	if flags {
		words[1] = "GETKEYSANDFLAGS"
	}
	for _, a := range args {
		words = append(words, string(a))
	}
	cmd := Lookup(args)
	keys, ok := cmd.AppendKeys(nil, args)
	reply := k.parse(words...)
	if reply.IsError() {
		return false
	}
	if !ok {
		return false // a mistake that GETKEYS does not look at; that it is one, the replay shows
	}
	var got, want []string
	for _, key := range keys {
		name := string(args[key.Arg])
		if flags && !slices.Contains(keyExceptions, cmd.Name) {
			name += map[bool]string{true: " written", false: " read"}[key.Write]
		}
		got = append(got, name)
	}
	for _, v := range reply.Elems {
		if !flags {
			want = append(want, string(v.Str))
			continue
		}
		name := string(v.Elems[0].Str)
		if !slices.Contains(keyExceptions, cmd.Name) {
			how := " written"
			if slices.ContainsFunc(v.Elems[1].Elems, func(f resp.Value) bool { return string(f.Str) == "RO" }) {
				how = " read"
			}
			name += how
		}
		want = append(want, name)
	}
	if cmd.Name == "MOVE" && len(got) == 2 {
		got = got[:1]
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: keys of %q: %q, the server says %q", k.name, args, got, want)
	}
	return true
}
