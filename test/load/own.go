package load

import (
	"fmt"
	"strconv"
	"strings"

	"tandem/test/wire"
)

// own is the model of a client's own keys. It changes when a reply is checked, so it is always the state that
// was acknowledged; replies come in the order of the commands, so every check can be exact.
type own struct {
	c    *client
	emit func(check, ...string) // queues a command: c.send, or a transaction's list
	ops  []op
	life int // raised after each lost connection: the keys of a new life are new
	seq  int // makes every element, member and value unique

	watched // kept across lives

	list    []string // both ends are pushed and popped
	hash    int
	zset    int
	text    string // grown by APPEND
	half    int    // INCRBYFLOAT 0.5, so many times
	set     map[string]bool
	slots   [3]slot
	grouped bool     // the stream and its group were made
	lastID  string   // of the stream
	entries int      // in the stream
	unread  []string // ids that the group was not given yet
	pending []string // ids delivered and not acknowledged
	limiter int      // a counter that expires
	expire  bool     // limiter was answered 1: it needs an expiry
}

// slot is a string key that comes and goes.
type slot struct {
	value *string // nil: missing
	ttl   bool
}

// Bounds of the client's own structures, so that a long load does not grow the keyspace.
const (
	listMax   = 200
	setMax    = 100
	textMax   = 4000
	streamMax = 500
	// farTTL is an expiry that no test lives to see, in seconds.
	farTTL = 5000
)

// op is one operation of the table: how often it is chosen relative to the others, and what it needs.
type op struct {
	weight int
	queue  func()
	since  func(wire.Server) bool // nil: every server has it
}

func newOwn(c *client) *own {
	o := &own{c: c, emit: c.send, watched: newWatched()}
	o.begin()
	since62 := wire.Server.HasGetDel
	for _, p := range []op{
		{14, o.count, nil}, {3, o.grow, nil}, {3, o.setPair, nil}, {1, o.bury, nil},
		{5, o.push, nil}, {5, o.pop, nil}, {5, o.hincrby, nil}, {5, o.zincrby, nil}, {5, o.appendText, nil},
		{2, o.incrbyfloat, nil}, {5, o.sadd, nil}, {4, o.spop, nil},
		{4, o.slotSet, nil}, {3, o.slotNX, nil}, {3, o.slotGet, nil}, {2, o.slotDel, nil},
		{2, o.slotExpire, nil}, {2, o.slotTTL, nil}, {2, o.slotRename, nil}, {2, o.slotGetDel, since62}, {2, o.slotSetGet, since62},
		{5, o.xadd, nil}, {3, o.xreadgroup, nil}, {2, o.xack, nil}, {1, o.xlen, nil},
		{3, o.whole, nil}, {3, o.rateLimit, nil},
	} {
		if p.since != nil && !p.since(c.load.cfg.Server) {
			continue
		}
		for range p.weight {
			o.ops = append(o.ops, p)
		}
	}
	return o
}

// begin makes the keys of a life empty; the stream and its group are made by the first XADD of it.
func (o *own) begin() {
	*o = own{c: o.c, emit: o.emit, ops: o.ops, life: o.life + 1, seq: o.seq, watched: o.watched, set: map[string]bool{}}
}

func (o *own) queue() { o.ops[o.c.rand.IntN(len(o.ops))].queue() }

// key is the name of one of the client's keys in this life.
func (o *own) key(name string) string { return fmt.Sprintf("own:%d:%d:%s", o.c.id, o.life, name) }

func (o *own) next() string { o.seq++; return strconv.Itoa(o.seq) }

func (o *own) push() {
	v := o.next()
	if o.c.rand.IntN(2) == 0 {
		o.emit(func(r wire.Reply) string {
			o.list = append([]string{v}, o.list...)
			return isInt(r, len(o.list))
		}, "LPUSH", o.key("list"), v)
		return
	}
	o.emit(func(r wire.Reply) string {
		o.list = append(o.list, v)
		return isInt(r, len(o.list))
	}, "RPUSH", o.key("list"), v)
}

func (o *own) pop() {
	if len(o.list) > listMax {
		o.emit(func(r wire.Reply) string {
			o.list = append([]string(nil), o.list[len(o.list)-10:]...)
			return isOK(r)
		}, "LTRIM", o.key("list"), "-10", "-1")
		return
	}
	left := o.c.rand.IntN(2) == 0
	name := map[bool]string{true: "LPOP", false: "RPOP"}[left]
	o.emit(func(r wire.Reply) string {
		if len(o.list) == 0 {
			return isText(r, nil)
		}
		i := 0
		if !left {
			i = len(o.list) - 1
		}
		want := o.list[i]
		o.list = append(o.list[:i:i], o.list[i+1:]...)
		return isText(r, &want)
	}, name, o.key("list"))
}

func (o *own) hincrby() {
	o.emit(func(r wire.Reply) string {
		o.hash += 3
		return isInt(r, o.hash)
	}, "HINCRBY", o.key("hash"), "n", "3")
}

func (o *own) zincrby() {
	o.emit(func(r wire.Reply) string {
		o.zset += 2
		want := strconv.Itoa(o.zset)
		return isText(r, &want)
	}, "ZINCRBY", o.key("zset"), "2", "m")
}

func (o *own) appendText() {
	if len(o.text) > textMax {
		o.emit(func(r wire.Reply) string {
			want := o.text
			return isText(r, &want)
		}, "GET", o.key("text"))
		o.emit(func(r wire.Reply) string {
			o.text = ""
			return isInt(r, 1)
		}, "DEL", o.key("text"))
		o.emit(func(r wire.Reply) string { return isInt(r, 0) }, "STRLEN", o.key("text"))
	}
	v := o.next()
	o.emit(func(r wire.Reply) string {
		o.text += v
		return isInt(r, len(o.text))
	}, "APPEND", o.key("text"), v)
}

func (o *own) incrbyfloat() {
	o.emit(func(r wire.Reply) string {
		o.half++
		want := strconv.FormatFloat(float64(o.half)/2, 'f', -1, 64)
		return isText(r, &want)
	}, "INCRBYFLOAT", o.key("float"), "0.5")
}

func (o *own) sadd() {
	v := o.next()
	o.emit(func(r wire.Reply) string {
		o.set[v] = true
		return isInt(r, 1)
	}, "SADD", o.key("set"), v)
}

func (o *own) spop() {
	n := 1
	if len(o.set) > setMax {
		n = setMax / 2
	}
	o.emit(func(r wire.Reply) string {
		if want := min(n, len(o.set)); len(r.Elems) != want {
			return fmt.Sprintf("%d members", want)
		}
		for _, e := range r.Elems {
			if !o.set[e.Str] {
				return "members that were added and not popped yet, unlike " + e.Str
			}
			delete(o.set, e.Str)
		}
		return ""
	}, "SPOP", o.key("set"), strconv.Itoa(n))
}

// rateLimit is the pattern of rate limiters: count, and give the count an expiry when it begins.
func (o *own) rateLimit() {
	if o.expire {
		o.expire = false
		o.emit(anything, "PEXPIRE", o.key("limiter"), strconv.Itoa(100+o.c.rand.IntN(400)))
	}
	o.emit(func(r wire.Reply) string {
		if r.Kind == ':' && (r.Int == 1 || r.Int == int64(o.limiter)+1) {
			o.limiter = int(r.Int)
			o.expire = o.expire || r.Int == 1
			return ""
		}
		return fmt.Sprintf("%d, or 1 after it expired", o.limiter+1)
	}, "INCR", o.key("limiter"))
}

// whole sends a transaction in one piece.
func (o *own) whole() {
	for _, s := range o.transaction() {
		o.emit(s.check, s.args...)
	}
}

// transaction is MULTI, some commands on own keys, EXEC.
func (o *own) transaction() []sentCommand {
	var inner []sentCommand
	emit := o.emit
	o.emit = func(ok check, args ...string) { inner = append(inner, sentCommand{args, ok}) }
	for _, f := range []func(){o.count, o.hincrby, o.push, o.count, o.sadd} {
		f()
	}
	o.emit = emit
	steps := []sentCommand{{[]string{"MULTI"}, isOK}}
	for _, s := range inner {
		steps = append(steps, sentCommand{s.args, isQueued})
	}
	return append(steps, sentCommand{[]string{"EXEC"}, func(r wire.Reply) string {
		if len(r.Elems) != len(inner) {
			return fmt.Sprintf("%d replies", len(inner))
		}
		var wrong []string
		for i, s := range inner {
			if want := s.check(r.Elems[i]); want != "" {
				wrong = append(wrong, fmt.Sprintf("%s for %s", want, show(s.args)))
			}
		}
		return strings.Join(wrong, "; ")
	}})
}
