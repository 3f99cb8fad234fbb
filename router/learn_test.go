package router

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// infos are the raw elements of a server's reply to COMMAND.
func (k *conn) infos() [][]byte { return elements(k.raw("COMMAND")) }

// learnAll learns every command of a server; subcommands are in their containers.
func learnAll(t *testing.T, infos [][]byte) (all []*Command) {
	t.Helper()
	for _, info := range infos {
		c, err := Learn(info)
		if err != nil {
			t.Fatalf("%q: %v", info, err)
		}
		all = append(all, c)
	}
	return all
}

// TestLearnedCommandsAgreeWithTheTable learns every command of every version, in both protocols, as if it
// were not known, and compares what it does and where its keys are with the table.
func TestLearnedCommandsAgreeWithTheTable(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		for _, protocol := range []string{"2", "3"} {
			t.Run(b.Name+" in RESP"+protocol, func(t *testing.T) {
				k := start(t, b)
				k.must("HELLO", protocol)
				l := &learner{t: t, r: &sampler{Rand: newRand(seedOf(t)), dumps: []string{"x"}}, old: !redis70.in(k.server)}
				infos := k.infos()
				for i, c := range learnAll(t, infos) {
					if bytes.Contains(infos[i], []byte("+incomplete\r\n")) {
						l.admitted = append(l.admitted, c.Name)
					}
					if len(c.subs) == 0 {
						l.compare(c)
					}
					for _, sub := range c.subs {
						l.compare(sub)
					}
				}
				slices.Sort(l.lost)
				t.Logf("%d commands, %d requests compared, keys not found: %v", l.commands, l.requests, l.lost)
			})
		}
	}
}

// learner compares.
type learner struct {
	t                  *testing.T
	r                  *sampler
	old                bool // before 7.0: no key specs, no subcommands
	commands, requests int
	lost               []string // whose keys cannot be found
	admitted           []string // of which the server says that what it tells of their keys is not all
}

// unlearnable are commands of which the servers' facts do not tell the class: those of other classes than
// Read and Write, those that write by what they call or cause, and messages.
func (l *learner) unlearnable(known *Command) bool {
	switch known.Class {
	case Read:
		return strings.Contains(known.Name, "PUB") || known.Name == "CLIENT UNPAUSE"
	case Write:
		return slices.Contains([]string{"PFCOUNT", "DEBUG", "REPLICAOF", "SLAVEOF"}, known.Name) || strings.HasPrefix(known.Name, "CLUSTER ")
	case Barrier:
		return false
	}
	return true
}

// incomplete are commands whose keys no server tells.
var incomplete = []string{"SORT", "SORT_RO", "MIGRATE", "TRIMSLOTS", "SFLUSH"}

// movable are those of which servers before 7.0 tell no keys.
var movable = []string{"ZUNIONSTORE", "ZINTERSTORE", "EVAL", "EVALSHA", "XREAD", "XREADGROUP", "GEORADIUS", "GEORADIUSBYMEMBER",
	"PFDEBUG", "MEMORY USAGE", "STRALGO"}

func (l *learner) compare(learned *Command) {
	l.t.Helper()
	known := byName(learned.Name)
	if known == nil || known.container && !l.old {
		l.t.Errorf("%s is not in the table", learned.Name)
		return
	}
	if known.container || l.unlearnable(known) {
		return
	}
	l.commands++
	wants := known.Class
	if wants == Barrier {
		wants = Write
	}
	if learned.Class != wants {
		l.t.Errorf("%s is learned as class %d, the table has %d", learned.Name, learned.Class, known.Class)
	}
	for range 15 {
		args := l.guess(known)
		if keys, ok := known.AppendKeys(nil, args); ok && learned.arityOK(len(args)) {
			l.compareKeys(learned, known, args, keys)
		}
	}
}

func (l *learner) compareKeys(learned, known *Command, args [][]byte, want []Key) {
	l.t.Helper()
	got, ok := learned.AppendKeys(nil, args)
	if !ok {
		excused := len(want) == 0 || slices.Contains(incomplete, known.Name) || slices.Contains(l.admitted, known.Name) || l.old && slices.Contains(movable, known.Name)
		if !excused {
			l.t.Errorf("%s: the keys of %q cannot be found", learned.Name, args)
		}
		if !slices.Contains(l.lost, known.Name) {
			l.lost = append(l.lost, known.Name)
		}
		return
	}
	l.requests++ // in what follows more written keys are no mistake, fewer are
	places := map[int]bool{}
	for _, k := range got {
		places[k.Arg] = k.Write
	}
	exact := !l.old && known.writes == nil && !slices.Contains(keyExceptions, known.Name)
	for _, k := range want {
		write, found := places[k.Arg]
		if !found || k.Write && !write || exact && k.Write != write {
			l.t.Errorf("%s: keys of %q: %s, the table has %s", learned.Name, args, keyText(got, true), keyText(want, true))
			return
		}
	}
	if named := len(got); named != len(want) && known.Name != "MOVE" {
		l.t.Errorf("%s: %d keys of %q, the table has %d", learned.Name, named, args, len(want))
	}
}

// samplesOf are the samples of each command.
var samplesOf = sync.OnceValue(func() map[*Command][]string {
	all := map[*Command][]string{}
	for _, s := range slices.Concat(samples, blockingSamples, scriptSamples) {
		if c := Lookup(request(strings.Fields(s)...)); c != nil {
			all[c] = append(all[c], s)
		}
	}
	return all
})

// guess makes a request of a command, of one of its samples or of words that mean something to one or other
// command.
func (l *learner) guess(c *Command) [][]byte {
	mine := samplesOf()[c]
	if len(mine) > 0 && (c.findKeys != nil || l.r.Intn(3) > 0) {
		return l.r.request(l.r.pick(mine...))
	}
	args := request(strings.Fields(c.Name)...)
	n := c.Arity
	if n < 0 {
		n = -n + l.r.Intn(4)
	}
	for len(args) < n {
		args = append(args, []byte(l.r.pick("k", "k", "a", "b", "1", "1", "2", "0", "STREAMS", "GROUP", "BLOCK", "KEYS", "STORE", "COUNT")))
	}
	return args
}

// infoOf writes the facts of a command as servers do; more are those behind the positions.
func infoOf(name, flags string, first, last, step string, more ...string) []byte {
	words := strings.Fields(flags)
	b := appendBulkString(appendHeader(nil, 6+len(more)), name)
	b = append(b, ":-2\r\n"...)
	b = appendHeader(b, len(words))
	for _, w := range words {
		b = append(b, "+"+w+"\r\n"...)
	}
	for _, n := range []string{first, last, step} {
		b = append(b, ":"+n+"\r\n"...)
	}
	for _, m := range more {
		b = append(b, m...)
	}
	return b
}

// Facts as a server of 7.0 or later adds them: categories, tips, key specs, subcommands.
const (
	noFacts     = "*0\r\n"
	specUnknown = "*1\r\n*6\r\n+flags\r\n*1\r\n+RW\r\n+begin_search\r\n*4\r\n+type\r\n+unknown\r\n+spec\r\n*0\r\n+find_keys\r\n*4\r\n+type\r\n+unknown\r\n+spec\r\n*0\r\n"
	specRead    = "*1\r\n*6\r\n+flags\r\n*1\r\n+RO\r\n+begin_search\r\n*4\r\n+type\r\n+index\r\n+spec\r\n*2\r\n+index\r\n:1\r\n+find_keys\r\n*4\r\n+type\r\n+range\r\n+spec\r\n*6\r\n+lastkey\r\n:0\r\n+keystep\r\n:1\r\n+limit\r\n:0\r\n"
	specWord    = "*1\r\n*6\r\n+flags\r\n*1\r\n+OW\r\n+begin_search\r\n*4\r\n+type\r\n+keyword\r\n+spec\r\n*4\r\n+keyword\r\n+into\r\n+startfrom\r\n:-2\r\n+find_keys\r\n*4\r\n+type\r\n+range\r\n+spec\r\n*6\r\n+lastkey\r\n:-1\r\n+keystep\r\n:1\r\n+limit\r\n:2\r\n"
)

// TestLearnModules covers what no server here has: commands of modules, and facts that are not all there.
func TestLearnModules(t *testing.T) {
	for _, c := range []struct {
		name    string
		info    []byte
		request string
		class   Class
		keys    string
	}{
		{"an old module's write", infoOf("mod.set", "write denyoom", "1", "1", "1", noFacts), "MOD.SET k v", Write, "w1"},
		{"every second argument from the third to the last but one", infoOf("mod.x", "write", "2", "-2", "2"), "mod.x a k 1 l 2", Write, "w2 w4"},
		{"an old one that finds its keys itself", infoOf("mod.x", "write movablekeys", "1", "1", "1"), "mod.x k", Write, "no"},
		{"a write without keys", infoOf("mod.x", "write", "0", "0", "0"), "mod.x k", Write, "no"},
		{"a read", infoOf("mod.x", "readonly fast", "1", "1", "1"), "mod.x k", Read, "r1"},
		{"a read without keys", infoOf("mod.x", "readonly", "0", "0", "0"), "mod.x k", Read, ""},
		{"what is said to do neither, with a key", infoOf("mod.x", "fast", "1", "1", "1"), "mod.x k", Write, "w1"},
		{"positions that make no sense", infoOf("mod.x", "write", "3", "1", "1"), "mod.x k", Write, "no"},
		{"messages", infoOf("mod.subscribe", "pubsub", "0", "0", "0"), "mod.subscribe c", Refused, ""},
		{"specs of a kind that is not known", infoOf("mod.x", "write module", "1", "1", "1", noFacts, noFacts, specUnknown, noFacts), "mod.x k", Write, "no"},
		{"a module's read", infoOf("mod.x", "readonly module", "1", "1", "1", noFacts, noFacts, specRead, noFacts), "mod.x k", Read, "r1"},
		{"a write whose key is said to be read", infoOf("mod.x", "write module", "1", "1", "1", noFacts, noFacts, specRead, noFacts), "mod.x k", Write, "w1"},
		{"a module that finds its keys itself", infoOf("mod.x", "write module movablekeys", "1", "1", "1", noFacts, noFacts, specRead, noFacts), "mod.x k", Write, "no"},
		{"half of what follows a word", infoOf("mod.x", "write module movablekeys", "0", "0", "0", noFacts, noFacts, specWord, noFacts), "mod.x a INTO k 1", Write, "w3"},
		{"a word that is not there", infoOf("mod.x", "write module movablekeys", "0", "0", "0", noFacts, noFacts, specWord, noFacts), "mod.x a b k 1", Write, "no"},
		{"a write that is too short", infoOf("mod.x", "write", "1", "1", "1"), "mod.x", Write, "no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Learn(c.info)
			if err != nil {
				t.Fatal(err)
			}
			args := request(strings.Fields(c.request)...)
			if keys := keyText(got.AppendKeys(nil, args)); got.Class != c.class || keys != c.keys {
				t.Errorf("class %d with keys %q", got.Class, keys)
			}
			if got.Class == Refused && got.Refuse(args) == "" {
				t.Error("refused without a reason")
			}
			var e Effect
			got.Effect(&e, &Env{}, args, []byte("+OK\r\n"), nil)
			if wants := map[bool]Kind{true: Copy, false: None}[c.class == Write]; e.Kind != wants {
				t.Errorf("effect of kind %d", e.Kind)
			}
		})
	}
}

// TestLearnedContainersAreTheirSubcommands, and what they do not know is a write of anything.
func TestLearnedContainersAreTheirSubcommands(t *testing.T) {
	sub := func(name, flags string) string { return string(infoOf(name, flags, "2", "2", "1")) }
	box, err := Learn(infoOf("mod.box", "", "0", "0", "0", noFacts, noFacts, noFacts,
		"*2\r\n"+sub("mod.box|put", "write")+sub("mod.box|get", "readonly")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request, name, keys string
		class               Class
	}{
		{"mod.box put k", "MOD.BOX PUT", "w2", Write}, {"MOD.BOX Get k", "MOD.BOX GET", "r2", Read},
		{"mod.box burn k", "MOD.BOX", "no", Write}, {"mod.box", "MOD.BOX", "no", Read},
	} {
		args := request(strings.Fields(c.request)...)
		got := box.Resolve(args)
		if keys := keyText(got.AppendKeys(nil, args)); got.Name != c.name || got.Class != c.class || keys != c.keys {
			t.Errorf("%s is %s of class %d with keys %s", c.request, got.Name, got.Class, keys)
		}
	}
}

// TestLearnedCommandsThatBlockAreLeftAlone: where their timeout is, and what they would answer, is not known.
func TestLearnedCommandsThatBlockAreLeftAlone(t *testing.T) {
	c, err := Learn(infoOf("mod.bpop", "write blocking", "1", "1", "1"))
	if err != nil {
		t.Fatal(err)
	}
	args := request("mod.bpop", "k", "5")
	_, _, ok := c.Timeout(args)
	if _, _, _, tried := c.Try(nil, args, Server{}); !c.Blocks(args) || ok || tried {
		t.Errorf("blocks %v, timeout known %v, can be tried %v", c.Blocks(args), ok, tried)
	}
	if got := string(c.WithTimeout(nil, args, 1)); got != string(resp.AppendArgs(nil, args)) {
		t.Errorf("with a timeout: %q", got)
	}
}

func TestLearnNothing(t *testing.T) {
	for _, info := range []string{"*-1\r\n", "$-1\r\n", "_\r\n"} {
		if _, err := Learn([]byte(info)); !errors.Is(err, ErrNotKnown) {
			t.Errorf("%q: %v", info, err)
		}
	}
	whole := string(infoOf("mod.x", "write", "1", "1", "1"))
	for _, info := range []string{"", "*0\r\n", "*1\r\n$3\r\nGET\r\n", "-NOPERM no\r\n", ":1\r\n", whole + whole, whole[:len(whole)-3],
		string(infoOf("", "write", "1", "1", "1")), string(infoOf("a", "", "0", "0", "0", noFacts, noFacts, noFacts, "*1\r\n"+string(infoOf("b|c", "write", "1", "1", "1"))))} {
		if c, err := Learn([]byte(info)); err == nil || errors.Is(err, ErrNotKnown) {
			t.Errorf("%q: %v, %v", info, c, err)
		}
	}
}

// TestLearnNeverPanics gives it mutilated facts of real servers.
func TestLearnNeverPanics(t *testing.T) {
	r := newRand(1)
	for _, b := range redisdtest.Binaries(t) {
		k := start(t, b)
		for _, info := range k.infos() {
			for range 10 {
				info := slices.Clone(info)
				for range 1 + r.Intn(3) {
					info[r.Intn(len(info))] = "0123456789-:$*\r\nx"[r.Intn(17)]
				}
				c, err := Learn(info[:len(info)-r.Intn(2)*r.Intn(len(info))])
				if err != nil {
					continue
				}
				args := request("x", "a", "1", "2", "streams", "b")
				c = c.Resolve(args)
				c.AppendKeys(nil, args)
				var e Effect
				c.Effect(&e, &Env{}, args, []byte("+OK\r\n"), nil)
			}
		}
	}
}

func TestCommandsOfTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		first, last, step int
		request, keys     string
	}{
		{1, 1, 1, "x.set k v", "w1"}, {2, -1, 1, "x.set o k l", "w2 w3"}, {0, 0, 0, "x.set k", "no"}, {1, 1, 0, "x.set k", "no"},
		{1, -1, 2, "x.set k 1 l 2", "w1 w3"}, {2, 2, 1, "x.set k", "no"},
	} {
		cmd := FromConfig("x.set", c.first, c.last, c.step)
		args := request(strings.Fields(c.request)...)
		if keys := keyText(cmd.AppendKeys(nil, args)); keys != c.keys || cmd.Class != Write || cmd.Name != "X.SET" {
			t.Errorf("%d %d %d: keys of %s are %s", c.first, c.last, c.step, c.request, keys)
		}
		var e Effect
		cmd.Effect(&e, &Env{}, args, []byte(":0\r\n"), nil)
		if e.Kind != Copy {
			t.Errorf("effect of kind %d", e.Kind)
		}
	}
}
