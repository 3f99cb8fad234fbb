package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
	"tandem/test/wire"
)

// instances of the application that is pointed at the proxy, one after the other; all of them write the same keys.
const instances = 6

// TestApplicationsAreRepointedOneByOne, while the backfill runs and after it, in every version: no write is lost, whichever
// way it came, and there is no cutover before the last has moved. In some of them more happens meanwhile, and two are for full runs.
func TestApplicationsAreRepointedOneByOne(t *testing.T) {
	for _, x := range redisdtest.Binaries(t) {
		if !program.Full && (strings.HasPrefix(x.Name, "redis-6") || strings.HasPrefix(x.Name, "valkey-9")) {
			continue // each takes some ten seconds
		}
		meanwhile, tracking := func(*world) {}, "tracking: auto"
		switch {
		case strings.HasPrefix(x.Name, "redis-7"):
			meanwhile = killed
		case strings.HasPrefix(x.Name, "redis-8"):
			meanwhile, tracking = reportsLost, "tracking: on"
		case strings.HasPrefix(x.Name, "valkey-8"):
			meanwhile = evicted
		}
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel() // most of the time goes by with waiting for the next look at the connections
			repoint(t, redisd.Options{Binary: x.Path}, meanwhile, tracking)
		})
	}
}

func killed(w *world) {
	if w.td.Signal(syscall.SIGKILL); !w.td.Killed() {
		w.t.Error("it was not killed")
	}
	w.td.Start()
}

// reportsLost ends the connections for reports: those that have subscribed to something.
func reportsLost(w *world) {
	if n := do(w.t, w.source.Addr, "CLIENT", "KILL", "TYPE", "pubsub"); n.Int == 0 {
		w.t.Error("there were no connections for reports")
	}
}

// evicted has the source evict keys for a while.
func evicted(w *world) {
	do(w.t, w.source.Addr, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
	do(w.t, w.source.Addr, "CONFIG", "SET", "maxmemory", fmt.Sprint(info(w.t, w.source.Addr, "used_memory")))
	w.td.Until("evictions", 30*time.Second, func() bool { return info(w.t, w.source.Addr, "evicted_keys") > 20 })
	do(w.t, w.source.Addr, "CONFIG", "SET", "maxmemory", "0")
}

// TestNobodyIsTakenForAStranger: clients of the proxy who do all there is to do, blocking and in scripts and transactions,
// are no reason to say that others write.
func TestNobodyIsTakenForAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{keys: sized(20_000), clients: 8, settings: []string{"tracking: on"}})
	w.startLoad(nil)
	w.td.Step("start")
	w.td.WaitSynced()
	looks := 6 * time.Second // at least one, at both servers
	if program.Full {
		looks = 30 * time.Second
	}
	w.during(looks)
	s := w.td.WaitStatus("ready to cut over", 20*time.Second, func(s program.Status) bool { return s.ReadyToCutover })
	if s.Tracking.State != "running" || s.Tracking.ForeignWrites == nil || *s.Tracking.ForeignWrites != 0 {
		t.Errorf("nobody goes past the proxy: %+v, %v", s.Tracking, s)
	}
	w.td.SwitchOver("cutover")
	w.during(looks)
	if s := w.td.Status(); *s.Tracking.ForeignWrites != 0 {
		t.Errorf("nobody goes past the proxy: %v", s)
	}
	w.stopLoad()
	w.mustBeEqual()
}

// repoint does that. meanwhile is done when half of the instances have moved.
func repoint(t *testing.T, server redisd.Options, meanwhile func(w *world), tracking string) {
	w := newWorld(t, worldOptions{source: server.Binary, target: server.Binary, keys: 3_000,
		settings: []string{tracking, "tracking_quiet: 1s", "backfill:", "  max_keys_per_s: 4000"}})
	conn, err := wire.Dial(w.source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Databases that are in use from the beginning, so that nobody is surprised by their keys when they are swapped.
	if _, err := conn.DoMany([][]string{{"SELECT", "6"}, {"SET", "six", "6"}, {"SELECT", "7"}, {"SET", "seven", "7"}, {"PING"}}); err != nil {
		t.Fatal(err)
	}
	var app application
	defer app.stop()
	for i := range instances {
		app.start(w.source.Addr, i)
	}
	w.td.Step("start")
	w.td.WaitStatus("some of the backfill", program.SyncTime(), func(s program.Status) bool { return s.Backfill.KeysScanned > 300 })
	for _, i := range app.instances[:instances/2] {
		i.move(t, w.td.Addr)
	}
	w.td.WaitStatus("the others are seen", 30*time.Second, func(s program.Status) bool { return hasBlocker(s, "foreign_writers") })
	if code, answer := w.td.Ask("cutover"); code != 409 {
		t.Fatalf("a cutover while others write past the proxy: %d, %s", code, answer)
	}
	meanwhile(w)
	app.work(t, 50)
	last := app.instances[instances-1]
	last.also([]string{"SELECT", "5"}, []string{"FLUSHDB"})
	for _, i := range app.instances[instances/2:] {
		app.work(t, 10)
		if i == last {
			// No report shows this; the comparison when the last has moved does.
			w.td.WaitStatus("the flush is compared", program.SyncTime(), func(s program.Status) bool { return s.Phase == "synced" })
			last.also([]string{"SWAPDB", "6", "7"})
			app.work(t, 2)
		}
		i.move(t, w.td.Addr)
	}
	w.td.WaitStatus("ready to cut over", 2*program.SyncTime(), func(s program.Status) bool { return s.ReadyToCutover })
	w.td.MustVerify()
	w.td.SwitchOver("cutover")
	app.work(t, 20)
	app.stop()
	w.mustBeEqual()
	for _, problem := range app.problems() {
		t.Error(problem)
	}
	target, err := wire.Dial(w.target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for n := range counters {
		got, err := target.Do("GET", fmt.Sprint("increments:", n))
		if err != nil {
			t.Fatal(err)
		}
		if low, high := app.counted(n); !between(got.Str, low, high) {
			t.Errorf("counter %d is %s, and %d to %d increments were acknowledged", n, got.Str, low, high)
		}
	}
}

func between(text string, low, high int64) bool {
	var n int64
	_, err := fmt.Sscan(text, &n)
	return err == nil && low <= n && n <= high
}

func hasBlocker(s program.Status, code string) bool {
	for _, b := range s.Blockers {
		if b.Code == code {
			return true
		}
	}
	return false
}

// info is a number of INFO.
func info(t *testing.T, addr, field string) (n int64) {
	t.Helper()
	for line := range strings.Lines(do(t, addr, "INFO").Str) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			_, _ = fmt.Sscan(value, &n)
		}
	}
	return n
}

// counters are only incremented, so that it can be told what they must be.
const counters = 8

// application is several instances that write the same keys.
type application struct {
	instances []*member
	working   sync.WaitGroup
	ended     atomic.Bool
}

// member is an instance. Where it is pointed to may change at any time; it then closes its connection between two batches.
type member struct {
	app     *application
	addr    atomic.Pointer[string]
	extra   chan []string
	batches atomic.Int64
	moved   chan string // an address, once it is connected there

	mu                    sync.Mutex
	acknowledged, unknown [counters]int64
	problem               string
}

func (a *application) start(addr string, id int) {
	m := &member{app: a, extra: make(chan []string, 8), moved: make(chan string, 8)}
	m.addr.Store(&addr)
	a.instances = append(a.instances, m)
	a.working.Go(func() { m.run(rand.New(rand.NewPCG(seed, uint64(id)))) })
}

func (a *application) stop() {
	a.ended.Store(true)
	a.working.Wait()
}

// work waits until each instance has done n more batches.
func (a *application) work(t *testing.T, n int64) {
	t.Helper()
	var want []int64
	for _, m := range a.instances {
		want = append(want, m.batches.Load()+n)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(60 * time.Second); ; <-tick.C {
		done := true
		for i, m := range a.instances {
			done = done && m.batches.Load() >= want[i]
		}
		if done {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the application stands still: %v", a.problems())
		}
	}
}

func (a *application) problems() (list []string) {
	for _, m := range a.instances {
		m.mu.Lock()
		if m.problem != "" {
			list = append(list, m.problem)
		}
		m.mu.Unlock()
	}
	return list
}

// counted is how often a counter was incremented, at least and at most.
func (a *application) counted(n int) (low, high int64) {
	for _, m := range a.instances {
		m.mu.Lock()
		low += m.acknowledged[n]
		high += m.acknowledged[n] + m.unknown[n]
		m.mu.Unlock()
	}
	return low, high
}

// move points it elsewhere, and waits until it is there.
func (m *member) move(t *testing.T, addr string) {
	t.Helper()
	m.addr.Store(&addr)
	select {
	case <-m.moved:
	case <-time.After(60 * time.Second):
		t.Fatalf("an instance did not move to %s", addr)
	}
}

// also has it send commands once.
func (m *member) also(commands ...[]string) {
	for _, command := range commands {
		m.extra <- command
	}
}

// pace is how often an instance writes: so many at once are to leave the machine something for what is tested.
const pace = 10 * time.Millisecond

func (m *member) run(r *rand.Rand) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	at := *m.addr.Load()
	for !m.app.ended.Load() {
		<-tick.C
		addr := *m.addr.Load()
		conn, err := wire.Dial(addr)
		if err != nil {
			continue // it is being started again
		}
		if addr != at {
			at = addr
			m.moved <- addr
		}
		for err == nil && !m.app.ended.Load() && *m.addr.Load() == addr {
			err = m.batch(conn, r)
			<-tick.C
		}
		conn.Close()
	}
}

// batch does some writes, and notes what was acknowledged.
func (m *member) batch(conn *wire.Conn, r *rand.Rand) error {
	var increments [counters]int64
	commands := [][]string{{"SELECT", "0"}}
	for range 1 + r.IntN(8) {
		if r.IntN(4) == 0 {
			n := r.IntN(counters)
			increments[n]++
			commands = append(commands, []string{"INCR", fmt.Sprint("increments:", n)})
			continue
		}
		commands = append(commands, anyWrite(r)...)
	}
	commands = append(commands, []string{"SELECT", "6"}, []string{"INCR", "swapped"}, []string{"SELECT", "5"}, []string{"SET", fmt.Sprint("flushed:", r.IntN(50)), "x"})
	for more := true; more; {
		select {
		case command := <-m.extra:
			commands = append(commands, command)
		default:
			more = false
		}
	}
	replies, err := conn.DoMany(commands)
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, times := range increments {
		if err == nil {
			m.acknowledged[n] += times
		} else {
			m.unknown[n] += times
		}
	}
	for i, reply := range replies {
		if reply.Kind == '-' && !expected(reply.Str) && m.problem == "" {
			m.problem = fmt.Sprintf("%q: %s", commands[i], reply.Str)
		}
	}
	m.batches.Add(1)
	return err
}

// expected reports whether an error is the server's, of a state that others have brought about.
func expected(text string) bool {
	for _, begin := range []string{"OOM", "ERR no such key", "BUSYGROUP", "NOGROUP", "EXECABORT"} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}

// anyWrite is a write, or several, of keys that everybody writes.
func anyWrite(r *rand.Rand) [][]string {
	key := func(kind string) string { return fmt.Sprint(kind, ":", r.IntN(5)) }
	v, one := fmt.Sprint("v", r.IntN(100)), func(args ...string) [][]string { return [][]string{args} }
	switch r.IntN(16) {
	case 0:
		return one("LPUSH", key("list"), v)
	case 1:
		return one("RPOP", key("list"))
	case 2:
		return one("LTRIM", key("list"), "0", "50")
	case 3:
		return one("HINCRBY", key("hash"), v, "1")
	case 4:
		return one("SADD", key("set"), v)
	case 5:
		return one("SPOP", key("set"))
	case 6:
		return one("ZINCRBY", key("zset"), "1.5", v)
	case 7:
		return one("XADD", key("stream"), "MAXLEN", "100", "*", "f", v)
	case 8:
		stream := key("stream")
		return [][]string{
			{"XGROUP", "CREATE", stream, "group", "0", "MKSTREAM"},
			{"XREADGROUP", "GROUP", "group", "me", "COUNT", "3", "STREAMS", stream, ">"},
		}
	case 9:
		return one("SET", key("string"), v, "PX", fmt.Sprint(50+r.IntN(3000)))
	case 10:
		return one("APPEND", key("string"), v)
	case 11:
		return one("DEL", key([]string{"string", "list", "hash", "set", "zset"}[r.IntN(5)]))
	case 12:
		from := r.IntN(5)
		return [][]string{{"SET", fmt.Sprint("from:", from), v}, {"RENAME", fmt.Sprint("from:", from), fmt.Sprint("to:", r.IntN(5))}}
	case 13:
		return [][]string{{"MULTI"}, {"LPUSH", key("list"), v}, {"SADD", key("set"), v}, {"EXEC"}}
	case 14:
		return one("EVAL", "redis.call('APPEND', 'undeclared:' .. ARGV[1], 'x') return redis.call('INCR', KEYS[1])", "1", key("byscript"), fmt.Sprint(r.IntN(5)))
	default:
		return one("SUNIONSTORE", key("union"), key("set"), key("set"))
	}
}
