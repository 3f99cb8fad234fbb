package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"tandem/test/wire"
)

// registers are keys that clients read and write at the same time: strings and counters. The history of each must be
// linearizable: there is one order of its operations, consistent with the times at which they began and ended, in
// which every reply is right. An operation of unknown outcome may take effect at any time from its beginning on,
// or never.
type registers struct {
	began time.Time

	mu      sync.Mutex
	history map[string][]porcupine.Operation // by key
	tally   tally
	verdict map[string]porcupine.CheckResult // by key and last value: both servers should have the same
	odd     []string
}

// Operations of a key's history.
type (
	operation struct {
		kind   string // get, set, incr, setnx, del, swap
		value  string // to write
		before string // swap: what it must be before
	}
	result struct {
		outcome outcome
		value   string // get: what was read, empty for no key; incr: the new number; setnx and del: 0 or 1
	}
)

// A key is used for so long, then others: a history is decided in a time that grows fast with its length.
const (
	keyTime      = 3 * time.Second
	perTime      = 6 // keys of each kind in that time
	registerLoad = 6 // clients
	undecided    = 10 * time.Second
	tooSlow      = 20 // one of so many may stay undecided
)

// registerModel is one key: its value, empty when it does not exist.
var registerModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		was, op, out := state.(string), input.(operation), output.(result)
		known := out.outcome == done
		switch op.kind {
		case "get":
			return !known || out.value == was, was
		case "set":
			return true, op.value
		case "incr":
			n := 0
			if was != "" {
				n, _ = strconv.Atoi(was) // counters hold nothing else
			}
			now := strconv.Itoa(n + 1)
			return !known || out.value == now, now
		case "setnx":
			if was == "" {
				return !known || out.value == "1", op.value
			}
			return !known || out.value == "0", was
		case "del":
			if was == "" {
				return !known || out.value == "0", ""
			}
			return !known || out.value == "1", ""
		case "swap":
			if was != op.before {
				return !known, was
			}
			return true, op.value
		}
		return false, was
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %+v", input, output) },
}

func newRegisters() *registers {
	return &registers{began: time.Now(), history: map[string][]porcupine.Operation{}, verdict: map[string]porcupine.CheckResult{}}
}

func (g *registers) name() string { return "registers" }

func (g *registers) prepare(string) error { return nil }

func (g *registers) clients() (all []func(*client)) {
	for i := range registerLoad {
		all = append(all, func(c *client) { g.play(c, i) })
	}
	return all
}

// key picks one of the present time's keys, now and then one of the times before.
func (g *registers) key(c *client, kind string) string {
	time := int(time.Since(g.began) / keyTime)
	if time > 0 && c.r.IntN(20) == 0 {
		time = c.r.IntN(time)
	}
	return fmt.Sprintf("%s:%d:%d", kind, time, c.r.IntN(perTime))
}

func (g *registers) play(c *client, who int) {
	for n := 0; c.going(); n++ {
		value := token("r"+strconv.Itoa(who), n)
		switch c.r.IntN(10) {
		case 0, 1:
			g.do(c, who, g.key(c, "linear:register"), operation{kind: "get"}, "GET")
		case 2:
			g.do(c, who, g.key(c, "linear:register"), operation{kind: "set", value: value}, "SET", value)
		case 3:
			g.do(c, who, g.key(c, "linear:register"), operation{kind: "setnx", value: value}, "SETNX", value)
		case 4:
			g.do(c, who, g.key(c, "linear:register"), operation{kind: "del"}, "DEL")
		case 5, 6:
			g.swap(c, who, g.key(c, "linear:register"), value)
		case 7, 8:
			g.do(c, who, g.key(c, "linear:counter"), operation{kind: "incr"}, "INCR")
		default:
			g.do(c, who, g.key(c, "linear:counter"), operation{kind: "get"}, "GET")
		}
		c.rest(time.Duration(c.r.IntN(20)) * time.Millisecond)
	}
}

// do plays one command of one key.
func (g *registers) do(c *client, who int, key string, op operation, command string, arguments ...string) (wire.Reply, outcome) {
	if !c.connected() { // so that the time to connect is none of the operation's
		return wire.Reply{}, refused
	}
	call := g.now()
	reply, o := c.do(append([]string{command, key}, arguments...)...)
	value := reply.Str
	if reply.Kind == ':' {
		value = strconv.FormatInt(reply.Int, 10)
	}
	g.record(who, key, call, op, result{o, value})
	if reply.Kind == '+' && reply.Str != "OK" {
		g.mu.Lock()
		g.odd = append(g.odd, fmt.Sprintf("%s of %s is answered %s, after\n    %s", command, key, reply, strings.Join(c.last, "\n    ")))
		g.mu.Unlock()
		c.drop()
	}
	return reply, o
}

// swap reads a key under WATCH and writes it if nobody else has.
func (g *registers) swap(c *client, who int, key, value string) {
	if _, o := c.do("WATCH", key); o != done {
		return
	}
	watched := c.connections
	read, o := g.do(c, who, key, operation{kind: "get"}, "GET")
	if o != done || c.connections != watched {
		return
	}
	if _, o := c.do("MULTI"); o != done || c.connections != watched {
		c.drop()
		return
	}
	if _, o := c.do("SET", key, value); o != done {
		c.drop()
		return
	}
	call := g.now()
	reply, o := c.do("EXEC")
	if o == done && reply.Null {
		o = refused
	}
	g.record(who, key, call, operation{kind: "swap", value: value, before: read.Str}, result{outcome: o})
}

func (g *registers) now() int64 { return int64(time.Since(g.began)) }

func (g *registers) record(who int, key string, call int64, op operation, r result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tally.add(r.outcome)
	back := g.now()
	switch r.outcome {
	case refused:
		return
	case unknown:
		if op.kind == "get" {
			return // it changes nothing
		}
		back = math.MaxInt64
	}
	g.history[key] = append(g.history[key], porcupine.Operation{ClientId: who, Input: op, Call: call, Output: r, Return: back})
}

// check adds what the server holds now as a last read of every key, and decides each history.
func (g *registers) check(server *wire.Conn) (wrong []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slow := 0
	wrong = append(wrong, g.odd...)
	keys := make([]string, 0, len(g.history))
	for key := range g.history {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		reply, err := server.Do("GET", key)
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", key, err)
		}
		at := g.now()
		history := append(slices.Clone(g.history[key]), porcupine.Operation{ClientId: registerLoad,
			Input: operation{kind: "get"}, Call: at, Output: result{done, reply.Str}, Return: at + 1})
		verdict, known := g.verdict[key+"="+reply.Str]
		if !known {
			verdict = porcupine.CheckOperationsTimeout(registerModel, history, undecided)
			g.verdict[key+"="+reply.Str] = verdict
		}
		switch verdict {
		case porcupine.Unknown:
			slow++
		case porcupine.Illegal:
			wrong = append(wrong, fmt.Sprintf("%s is not linearizable:%s", key, show(history)))
		}
	}
	if slow > len(keys)/tooSlow {
		wrong = append(wrong, fmt.Sprintf("%d of %d histories could not be decided", slow, len(keys)))
	}
	return wrong, nil
}

func (g *registers) summary() string {
	slow := 0
	for _, v := range g.verdict {
		if v == porcupine.Unknown {
			slow++
		}
	}
	return fmt.Sprintf("%v; %d keys, %d histories undecided", g.tally, len(g.history), slow)
}

// show writes the end of a history by the time of the calls.
func show(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	text := ""
	for _, o := range history[max(0, len(history)-40):] {
		back := "never"
		if o.Return != math.MaxInt64 {
			back = fmt.Sprintf("%9.4f", float64(o.Return)/1e9)
		}
		op, out := o.Input.(operation), o.Output.(result)
		text += fmt.Sprintf("\n    %9.4f to %s client %d %s %s %s -> %s", float64(o.Call)/1e9, back, o.ClientId, op.kind, op.value, op.before, out.value)
	}
	return text
}
