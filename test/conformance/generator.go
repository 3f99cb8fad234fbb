package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/router"
)

// Generator makes random conversations from the requests of the scenarios: any command, with few keys, by
// several sessions, in both protocols. What a request is answered, and what it leaves, follows from what was before:
// random members, ids of the server's and times that run out by themselves are left out, or, of a Wild one, left
// in; then only the keyspaces can be compared.
type Generator struct {
	// Wild takes commands whose outcome is random, too, and lets nobody wait for another session, so that all
	// may talk at once.
	Wild bool
	// Switches has the other server answer now and then. Without WATCH: EXEC answers nil behind a switch.
	Switches bool
	// Crowded: there are keys that the conversation has not made, so nobody asks for all.
	Crowded bool
	// Knows tells the commands of the server.
	Knows func(row string) bool

	fit       func(command []string) bool
	templates []template
	byRow     map[string][]int // indices of templates
}

// template is a request of a scenario.
type template struct {
	row, group string // group is the scenario's file: its keys are mostly of one type
	args       []string
	keys       []int
	mark       Mark
}

// groups are the files of scenarios whose requests are taken.
var groups = []string{"strings", "bitmaps", "lists", "sets", "zsets", "geo", "hyperloglogs", "hashes", "streams", "generic", "expiry"}

// own are requests that scenarios have in a form that depends on their others, with weight.
var own = []struct {
	text  string
	times int
}{
	{"MULTI", 30}, {"EXEC", 40}, {"DISCARD", 4}, {"WATCH a", 10}, {"WATCH strings:1 lists:1", 6}, {"UNWATCH", 3},
	{"SELECT 1", 6}, {"SELECT 0", 12}, {"MOVE a 1", 3}, {"COPY a b DB 1 REPLACE", 3}, {"SWAPDB 0 1", 2}, {"FLUSHDB", 1}, {"FLUSHALL", 1},
	{"RESET", 2}, {"CLIENT SETNAME random", 1}, {"CLIENT GETNAME", 1}, {"PING", 2}, {"ECHO x", 1}, {"ACL WHOAMI", 1}, {"NOSUCH a", 2},
	{"HELLO 2", 1}, {"HELLO 3", 1}, {"HELLO 9", 1}, {"SELECT 5000", 1}, {"WAIT 0 0", 1}, {"CLIENT NO-EVICT OFF", 1},
	{"BLPOP a b 0.01", 2}, {"BRPOP lists:1 0.01", 2}, {"BLMOVE lists:1 lists:2 LEFT RIGHT 0.01", 2}, {"BZPOPMIN zsets:1 0.01", 2},
	{"BRPOPLPUSH lists:1 lists:2 0.01", 1}, {"BLMPOP 0.01 2 lists:1 lists:2 LEFT COUNT 2", 2}, {"BZMPOP 0.01 1 zsets:1 MAX", 1},
	{"XREAD BLOCK 1 STREAMS streams:1 $", 1}, {"XREADGROUP GROUP g c BLOCK 1 STREAMS streams:1 >", 2},
	// Values that are read in more than one piece.
	{"SETRANGE strings:1 70000 x", 2}, {"SETRANGE strings:2 300000 x", 1}, {"GET strings:1", 2}, {"MGET strings:1 strings:2 strings:1", 1},
	{`EVAL "for i = 1, 400 do redis.call('RPUSH', KEYS[1], i) end return 1" 1 lists:1`, 1},
	{`EVAL "for i = 1, 200 do redis.call('HSET', KEYS[1], i, i) end return 1" 1 hashes:1`, 1},
	{`EVAL "for i = 1, 200 do redis.call('ZADD', KEYS[1], i, i) end return 1" 1 zsets:1`, 1},
	{`EVAL "return redis.call('INCR', KEYS[1])" 1 strings:1`, 2}, {`EVAL "return redis.call('LRANGE', KEYS[1], 0, -1)" 1 lists:1`, 1},
	{`EVAL "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])" 2 strings:2 lists:1 v`, 2},
	{`EVAL "redis.call('DEL', KEYS[1]) redis.call('SADD', 'sets:1', 'undeclared') return redis.status_reply('S')" 1 a`, 2},
	{`EVAL "redis.call('SELECT', 1) return redis.call('INCR', 'strings:1')" 0`, 1},
	{`EVAL_RO "return redis.call('TYPE', KEYS[1])" 1 a`, 1},
}

// wild are requests for the Wild alone.
var wild = []string{"SPOP sets:1", "SPOP sets:2 2", "XADD streams:1 * f v", "XADD streams:2 MAXLEN ~ 5 * f v", "SPOP a 1",
	"SET strings:1 v PX 3", "PEXPIRE lists:1 2", "PEXPIRE zsets:1 5", "PEXPIRE sets:1 1", "GETEX strings:2 PX 2", "PEXPIRE hashes:1 4",
	`EVAL "return redis.call('SPOP', KEYS[1])" 1 sets:1`, `EVAL "return redis.call('XADD', KEYS[1], '*', 'f', 'v')" 1 streams:1`,
	`EVAL "return redis.call('SET', KEYS[1], redis.call('TIME')[2])" 1 strings:1`}

// marks of commands whose replies depend on more than what was before.
var rowMarks = map[Mark]string{
	Near: "TTL PTTL HTTL HPTTL EXPIRETIME PEXPIRETIME HEXPIRETIME HPEXPIRETIME XPENDING XREADGROUP XCLAIM XAUTOCLAIM",
	Type: "OBJECT-IDLETIME OBJECT-REFCOUNT MEMORY-USAGE DUMP XINFO-STREAM XINFO-GROUPS XINFO-CONSUMERS PFDEBUG OBJECT-ENCODING " +
		"HELLO",
	Unordered: "SMEMBERS SINTER SUNION SDIFF KEYS SCAN SSCAN HSCAN ZSCAN HGETALL HKEYS HVALS SORT SORT_RO",
	Shape:     "SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY",
}

// unfit are commands that are not taken at all: random, of one server, or slow.
var unfit = strings.Fields("SPOP RESTORE RESTORE-ASKING PFSELFTEST DEBUG OBJECT-FREQ MOVE STRALGO MEMORY")

// ofAll are commands about all keys of a database.
var ofAll = []string{"KEYS", "SCAN", "DBSIZE", "RANDOMKEY"}

// notQueued are commands that a transaction changes: the scenarios have them.
var notQueued = []string{"SELECT", "RESET", "CLIENT", "HELLO", "WAIT", "ACL"}

// NewGenerator takes the requests of the scenarios that are fit for the server.
func NewGenerator(scenarios []*Scenario, isWild bool, fit func(command []string) bool) *Generator {
	g := &Generator{Wild: isWild, fit: fit, byRow: map[string][]int{}, Knows: func(string) bool { return true }}
	for _, s := range scenarios {
		if s.Alone || s.Slow || !slices.Contains(groups, s.File) {
			continue
		}
		for _, step := range s.Steps {
			if step.Action != Ask || step.Capture != "" {
				continue
			}
			for _, c := range step.Commands {
				g.take(s.File, c, step.Mark)
			}
		}
	}
	for _, o := range own {
		words, err := split(o.text)
		if err != nil {
			panic(err) // the text above is not a line
		}
		for range o.times {
			g.take("own", texts(words), Exact)
		}
	}
	for _, text := range wild {
		words, err := split(text)
		if err != nil || !isWild {
			continue
		}
		for range 5 {
			g.take("own", texts(words), Anything)
		}
	}
	return g
}

func texts(words []token) (all []string) {
	for _, w := range words {
		all = append(all, w.text)
	}
	return all
}

// take adds one request, unless its outcome is not determined.
func (g *Generator) take(group string, command []string, mark Mark) {
	row := Row(command)
	flat := strings.ReplaceAll(row, " ", "-")
	if group != "own" && (slices.Contains(unfit, flat) || expiresSoon(command) || !g.fit(command)) {
		return
	}
	for i, arg := range command {
		if strings.HasPrefix(arg, "$") && len(arg) > 1 || arg == "*" && row == "XADD" && group != "own" || i > 0 && strings.HasSuffix(arg, "-*") {
			return
		}
	}
	t := template{row: row, group: group, args: command, mark: mark}
	for m, rows := range rowMarks {
		if slices.Contains(strings.Fields(rows), flat) {
			t.mark = m
		}
	}
	args := make([][]byte, len(command))
	for i, a := range command {
		args[i] = []byte(a)
	}
	if c := router.Lookup(args); c != nil {
		keys, _ := c.AppendKeys(nil, args)
		for _, k := range keys {
			t.keys = append(t.keys, k.Arg)
		}
	}
	if c := router.Lookup(args); c != nil && group != "own" && c.Blocks(args) {
		return
	}
	g.byRow[row] = append(g.byRow[row], len(g.templates))
	g.templates = append(g.templates, t)
}

// expiresSoon reports whether the request gives a time to live that may run out in the course of a conversation.
func expiresSoon(command []string) bool {
	for i, arg := range command {
		n, err := strconv.Atoi(arg)
		name := strings.ToUpper(command[0])
		inMs := i > 0 && strings.ToUpper(command[i-1]) == "PX" || i == 2 && (name == "PEXPIRE" || name == "PSETEX" || name == "HPEXPIRE")
		if err == nil && n > 0 && n < 20_000 && inMs {
			return true
		}
	}
	return false
}

// text writes a step as its line.
func (step Step) text() string {
	var b strings.Builder
	switch step.Action {
	case Switch:
		return "switch"
	case Close:
		return "close " + step.Session
	}
	b.WriteString(step.Session)
	if step.Protocol != 0 {
		fmt.Fprintf(&b, ":%d", step.Protocol)
	}
	b.WriteString(map[Action]string{Block: ">>", Receive: "<", Closed: "<"}[step.Action])
	if step.Action == Ask || step.Action == Raw || step.Action == Until {
		b.WriteByte('>')
	}
	if step.Mark != Exact {
		fmt.Fprintf(&b, " ~%s", step.Mark)
	}
	if step.Capture != "" {
		b.WriteString(" " + step.Capture + " =")
	}
	switch {
	case step.Action == Closed:
		b.WriteString(" closed")
	case step.Action == Raw:
		b.WriteString(" raw " + strconv.Quote(step.Text))
	case step.Action == Until, step.Action == Receive && step.Text != "":
		b.WriteString(" until " + quote(step.Text, false))
	}
	for i, c := range step.Commands {
		if i > 0 {
			b.WriteString(" |")
		}
		b.WriteString(" " + join(c))
	}
	return b.String()
}

// Text writes a scenario of a Generator so that Parse reads it again.
func (s *Scenario) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s [alone]\n", s.Name)
	for i, step := range s.Steps {
		if i > 0 && i == s.Given {
			b.WriteString("--\n")
		}
		b.WriteString(step.text() + "\n")
	}
	return b.String()
}
