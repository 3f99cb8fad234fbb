package proxy

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/resp"
)

// A soak lets clients run random commands over few keys while something is wrong all the time. At rest both
// servers must hold the same, and every client must find its own counters and lists as it was told they are.
//
// It takes some seconds. TANDEM_SOAK is another duration, TANDEM_SEED the seed of a run that is to be repeated.

// Lanes are killed from outside, the secondary stops, lags, is cut off or comes back empty, and the roles
// change.
func TestSoak(t *testing.T) {
	newSoak(t, redisd.Options{}).run(20*time.Second, (*soak).cut, (*soak).swap)
}

// The servers crash and come back with their data, while connections are cut.
func TestSoakOfCrashes(t *testing.T) {
	newSoak(t, redisd.Options{Save: true}).run(8*time.Second, (*soak).cut, (*soak).crash)
}

func newSoak(t *testing.T, o redisd.Options) *soak {
	s := &soak{stop: make(chan struct{}), runs: map[string]string{}, seed: uint64(time.Now().UnixNano())}
	if v := os.Getenv("TANDEM_SEED"); v != "" {
		var err error
		if s.seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("seed", s.seed)
	s.house = newHouseOn(t, o, o, true, func(o *Options, so *ServerOptions) {
		o.Lanes = 3
		o.MaxLagBytes = 256 << 10
		o.PrimaryWait = 30 * time.Second
		o.AckBoth, o.AckTimeout = s.seed%3 == 0, 50*time.Millisecond
		o.OnConnect = s.connected
		so.OutputLimit = 64 << 20
	})
	s.primary, s.secondary = s.src, s.tgt
	s.link = s.house.link(s.src, s.tgt)
	return s
}

// run lets it go on for a while, with these troubles at once, and looks at what it has led to.
func (s *soak) run(length time.Duration, troubles ...func(*soak, *rand.Rand)) {
	t := s.t
	defer func() { s.link.stop() }()
	if v := os.Getenv("TANDEM_SOAK"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	var clients, rest sync.WaitGroup
	all := make([]*soaker, 8)
	for i := range all {
		all[i] = &soaker{soak: s, id: i, rnd: rand.New(rand.NewPCG(s.seed, uint64(i))), list: map[string]bool{}}
		clients.Go(all[i].run)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch()
	}()
	end := time.Now().Add(length)
	for i, trouble := range troubles {
		rnd := rand.New(rand.NewPCG(s.seed, uint64(i+1)<<40))
		rest.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				trouble(s, rnd)
				s.rest(rnd)
			}
		})
	}
	rest.Wait()
	close(s.stop)
	clients.Wait()
	<-watched
	s.atRest()
	s.sameSoon()
	for _, c := range all {
		c.audit()
	}
	t.Logf("%+v, %+v", s.done, s.shard.ledger.Stats())
	t.Logf("%+v", s.shard.Counts())
}

// sameSoon is same for keyspaces in which keys are about to expire.
func (h *house) sameSoon() {
	h.t.Helper()
	until := time.Now().Add(2 * time.Second)
	for time.Now().Before(until) {
		a, b := readKeyspace(h.t, h.source.Addr, 5), readKeyspace(h.t, h.target.Addr, 5)
		same := len(a) == len(b)
		for k, v := range a {
			same = same && b[k] == v
		}
		if same {
			return
		}
	}
	h.same()
}

type soak struct {
	*house
	stop chan struct{}
	link *link
	seed uint64
	done struct{ lanes, effects, copies, pauses, restarts, undone, swaps, crashes int }
	runs map[string]string // run ids by instance, under the shard's lock

	mu                 sync.Mutex // guards the roles for those who look at them
	primary, secondary *instance.Instance
	term               atomic.Int64 // number of swaps and restarts
}

// connected is told what an instance is whenever a lane has connected to it. One that is not the one it was
// has lost what it held.
func (s *soak) connected(i *instance.Instance, f instance.Facts) {
	if was := s.runs[i.Addr]; was != "" && was != f.RunID {
		s.shard.ledger.OweSweep(i.String()+" was restarted", 0)
	}
	s.runs[i.Addr] = f.RunID
}

// cut breaks connections, and stops the secondary for a while.
func (s *soak) cut(rnd *rand.Rand) {
	s.mu.Lock()
	primary, secondary, server := s.primary.Addr, s.secondary.Addr, s.process(s.secondary)
	s.mu.Unlock()
	switch rnd.IntN(8) {
	case 0, 1, 2:
		s.done.lanes += s.kill(primary, "tandem:test:"+lanePrefix, rnd)
	case 3, 4:
		s.done.effects += s.kill(secondary, "tandem:test:effects", rnd)
	case 5:
		s.done.copies += s.kill(primary, "tandem:test:copier", rnd)
	case 6:
		_ = server.Pause()
		s.rest(rnd)
		_ = server.Continue()
		s.done.pauses++
	case 7: // whatever there is
		s.done.lanes += s.kill(secondary, "tandem:test:", rnd)
	}
}

// swap changes the roles, holds everybody for nothing, or has the secondary come back empty. (The latter not
// while the roles change: nobody can tell a primary that has just lost everything from one that is empty.)
func (s *soak) swap(rnd *rand.Rand) {
	switch rnd.IntN(8) {
	case 0:
		s.mu.Lock()
		server := s.process(s.secondary)
		server.Kill()
		s.term.Add(1)
		if err := server.Restart(false); err != nil {
			s.t.Error(err)
		}
		s.mu.Unlock()
		s.done.restarts++
		s.await("the lane notices", func() bool { return s.shard.effects.up })
	case 1, 2:
		s.shard.Hold()
		s.rest(rnd)
		s.shard.Release()
	default:
		s.swapRoles()
	}
}

// crash ends one of the servers, which comes back with its data after a while.
func (s *soak) crash(rnd *rand.Rand) {
	if rnd.IntN(4) > 0 {
		return
	}
	server := []*redisd.Server{s.source, s.source, s.target}[rnd.IntN(3)]
	s.mu.Lock()
	defer s.mu.Unlock()
	server.Kill()
	s.rest(rnd)
	s.term.Add(1)
	if err := server.Restart(true); err != nil {
		s.t.Error(err)
	}
	s.done.crashes++
}

// process is the server of an instance.
func (s *soak) process(i *instance.Instance) *redisd.Server {
	if i == s.src {
		return s.source
	}
	return s.target
}

// rest lets the others go on for a random time.
func (s *soak) rest(rnd *rand.Rand) {
	select {
	case <-time.After(time.Duration(rnd.IntN(200)) * time.Millisecond):
	case <-s.t.Context().Done():
	}
}

// kill closes one of the connections whose name begins so, from outside. A server that is just being restarted
// has none.
func (s *soak) kill(addr, name string, rnd *rand.Rand) int {
	i, err := instance.New(instance.Source, "redis://"+addr, instance.Options{ReplyTimeout: 5 * time.Second})
	if err != nil {
		s.t.Error(err)
		return 0
	}
	c, err := i.Conn(s.t.Context(), "", 0)
	if err != nil {
		return 0
	}
	defer c.Close()
	list, err := c.Do(s.t.Context(), "CLIENT", "LIST")
	if err != nil {
		return 0
	}
	var ids []string
	for line := range strings.Lines(string(list.Str)) {
		if id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); strings.Contains(line, " name="+name) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return 0
	}
	if _, err := c.Do(s.t.Context(), "CLIENT", "KILL", "ID", ids[rnd.IntN(len(ids))]); err != nil {
		return 0
	}
	return 1
}

// swapRoles changes the roles if that can be done quickly.
func (s *soak) swapRoles() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	next, err := s.shard.Prepare(ctx, s.secondary, instance.Facts{})
	if err != nil {
		s.done.undone++
		return
	}
	e := s.shard.NewEffectLane(s.primary, instance.Facts{})
	e.Start()
	old, swapped := s.shard.effects, false
	drained := func() bool {
		return s.shard.Answered() && s.shard.ledger.Drained() && next.Ready() && e.up
	}
	s.shard.Hold()
	hold, done := context.WithTimeout(ctx, 500*time.Millisecond)
	defer done()
	if s.shard.Await(hold, drained) == nil {
		s.link.stop()
		s.shard.lock()
		if swapped = drained(); swapped {
			s.shard.Swap(next, e)
		}
		s.shard.unlock()
		if swapped {
			s.mu.Lock()
			s.primary, s.secondary = s.secondary, s.primary
			s.mu.Unlock()
			s.term.Add(1)
			s.done.swaps++
		}
		s.link = s.house.link(s.primary, s.secondary)
	}
	s.shard.Release()
	if swapped {
		old.Stop()
	} else {
		next.Abandon()
		e.Stop()
		s.done.undone++
	}
}

// watch looks at the clients' counters on the secondary: they must never go back.
func (s *soak) watch() {
	var last [8]int64
	var term int64 = -1
	var w *wire
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(time.Millisecond):
		}
		s.mu.Lock()
		addr, now := s.secondary.Addr, s.term.Load()
		s.mu.Unlock()
		if now != term {
			if w != nil {
				_ = w.Close()
			}
			c, err := net.Dial("tcp", addr)
			if err != nil {
				continue
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
			w, term, last = &wire{t: s.t, Conn: c, r: bufio.NewReader(c)}, now, [8]int64{}
		}
		args := []string{"MGET"}
		for i := range last {
			args = append(args, fmt.Sprint("own:n:", i))
		}
		if _, err := w.Write(resp.AppendCommand(nil, args...)); err != nil {
			term = -1
			continue
		}
		if _, err := w.r.Peek(1); err != nil {
			term = -1
			continue
		}
		v, _, err := resp.Parse(w.raw())
		if err != nil || s.term.Load() != term {
			continue // it has become the primary meanwhile, or was restarted
		}
		for i, e := range v.Elems {
			n, _ := strconv.ParseInt(string(e.Str), 10, 64)
			if n < last[i] {
				s.t.Errorf("counter %d on the secondary went from %d back to %q", i, last[i], e.Str)
			}
			last[i] = n
		}
	}
}

// soaker is one client. What it owns nobody else writes.
type soaker struct {
	*soak
	id  int
	rnd *rand.Rand
	c   net.Conn
	r   *bufio.Reader

	n       int64 // its counter, as last answered
	unknown int64 // increments since then whose outcome is not known
	list    map[string]bool
	pushes  int
}

// db is the database that the client uses. The last client has one that it flushes and swaps, and owns nothing.
func (c *soaker) db() string { return []string{"0", "0", "0", "1", "0", "0", "0", "2"}[c.id] }

func (c *soaker) flushes() bool { return c.id == 7 }

// command is one that was sent, and what its reply must be like.
type command struct {
	args  []string
	check func(v resp.Value)
	// lost is called when the reply did not come.
	lost func()
}

func (c *soaker) run() {
	defer func() {
		if c.c != nil {
			_ = c.c.Close()
		}
	}()
	for !c.t.Failed() {
		select {
		case <-c.stop:
			return
		default:
		}
		if c.c == nil {
			conn, err := net.Dial("tcp", c.server.Addr().String())
			if err != nil {
				c.t.Error(err)
				return
			}
			c.c, c.r = conn, bufio.NewReader(conn)
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			if c.db() != "0" {
				c.exchange([]command{{args: []string{"SELECT", c.db()}, check: c.is("OK")}}, false)
			}
			continue
		}
		var batch []command
		for range 1 + c.rnd.IntN(12) {
			if c.rnd.IntN(6) == 0 {
				batch = append(batch, c.block()...)
			} else {
				batch = append(batch, c.one())
			}
		}
		c.exchange(batch, c.rnd.IntN(4) == 0)
	}
}

// exchange sends commands, in one piece or one by one, and checks the replies.
func (c *soaker) exchange(batch []command, apart bool) {
	var b []byte
	fail := func(at int, err error) {
		for _, cmd := range batch[at:] {
			if cmd.lost != nil {
				cmd.lost()
			}
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Errorf("client %d: no answer to %q", c.id, batch[at].args)
		}
		_ = c.c.Close()
		c.c = nil
	}
	for i, cmd := range batch {
		b = resp.AppendCommand(b, cmd.args...)
		if !apart && i < len(batch)-1 {
			continue
		}
		if _, err := c.c.Write(b); err != nil {
			fail(i*0, err) // none is answered
			return
		}
		b = b[:0]
		if apart {
			if err := c.reply(cmd); err != nil {
				fail(i, err)
				return
			}
		}
	}
	if apart {
		return
	}
	for i, cmd := range batch {
		if err := c.reply(cmd); err != nil {
			fail(i, err)
			return
		}
	}
}

func (c *soaker) reply(cmd command) error {
	var raw []byte
	var f resp.Framer
	for {
		x, err := c.r.ReadByte()
		if err != nil {
			return err
		}
		raw = append(raw, x)
		_, done, err := f.Feed(raw[len(raw)-1:])
		if err != nil {
			c.t.Errorf("client %d: %q to %q: %v", c.id, raw, cmd.args, err)
			return err
		}
		if done {
			break
		}
	}
	v, _, err := resp.Parse(raw)
	if err != nil {
		c.t.Errorf("client %d: %q to %q: %v", c.id, raw, cmd.args, err)
		return err
	}
	if strings.HasPrefix(string(v.Str), "ERR tandem") {
		c.t.Errorf("client %d: %q to %q", c.id, raw, cmd.args)
	}
	if cmd.check != nil {
		cmd.check(v)
	}
	return nil
}

func (c *soaker) is(want string) func(resp.Value) {
	return func(v resp.Value) {
		got := string(v.Str)
		if v.Kind == ':' {
			got = strconv.FormatInt(v.Int, 10)
		}
		if got != want {
			c.t.Errorf("client %d: %.100q, want %q", c.id, got, want)
		}
	}
}

// counted checks what an INCR of its counter was answered.
func (c *soaker) counted(v resp.Value) {
	if v.Kind != ':' || v.Int <= c.n || v.Int > c.n+c.unknown+1 {
		c.t.Errorf("client %d: its counter is %.100q %d after %d, with %d unknown", c.id, v.Str, v.Int, c.n, c.unknown)
	}
	c.n, c.unknown = v.Int, 0
}

// one is a random command.
func (c *soaker) one() command {
	kind := c.rnd.IntN(12)
	if c.flushes() && kind < 3 {
		flushes := [][]string{{"FLUSHDB"}, {"FLUSHDB", "ASYNC"}, {"SWAPDB", "2", "3"}, {"GET", "s1"}}
		return command{args: flushes[c.rnd.IntN(len(flushes))]}
	}
	switch kind {
	case 0, 1:
		return command{args: []string{"INCR", fmt.Sprint("own:n:", c.id)}, check: c.counted, lost: func() { c.unknown++ }}
	case 2:
		c.pushes++
		x := fmt.Sprint(c.id, ".", c.pushes)
		return command{args: []string{"RPUSH", fmt.Sprint("own:l:", c.id), x},
			check: func(v resp.Value) { c.list[x] = true }, lost: func() { c.list[x] = false }}
	case 3:
		x := fmt.Sprint("echo ", c.id, " ", c.rnd.Uint64())
		return command{args: []string{"ECHO", x}, check: c.is(x)}
	}
	return command{args: c.shared()}
}

// block is a transaction, sometimes one that must fail.
func (c *soaker) block() []command {
	queued := func(args []string) command {
		return command{args: args, check: func(v resp.Value) {
			if string(v.Str) != "QUEUED" {
				c.t.Errorf("client %d: %.100q was answered %.100q", c.id, args, v.Str)
			}
		}}
	}
	b := []command{{args: []string{"MULTI"}, check: c.is("OK")}, queued([]string{"INCR", fmt.Sprint("own:n:", c.id)})}
	if c.flushes() {
		b[1] = queued([][]string{{"FLUSHDB"}, {"SWAPDB", "2", "3"}, {"PING"}, {"ZADD", "z1"}}[c.rnd.IntN(3)])
	}
	for range c.rnd.IntN(5) {
		b = append(b, queued(c.shared()))
	}
	switch c.rnd.IntN(8) {
	case 0:
		return append(b, command{args: []string{"DISCARD"}, check: c.is("OK")})
	case 1:
		b = append(b, command{args: []string{"SET", "k"}})
		return append(b, command{args: []string{"EXEC"}, check: func(v resp.Value) {
			if !strings.HasPrefix(string(v.Str), "EXECABORT") {
				c.t.Errorf("client %d: %q", c.id, v.Str)
			}
		}})
	}
	return append(b, command{args: []string{"EXEC"}, lost: func() { c.unknown++ }, check: func(v resp.Value) {
		if len(v.Elems) == 0 {
			c.t.Errorf("client %d: EXEC was answered %q", c.id, v.Str)
			return
		}
		if !c.flushes() {
			c.counted(v.Elems[0])
		}
	}})
}

// shared is a command on keys that all use.
func (c *soaker) shared() []string {
	n := func(k int) int { return c.rnd.IntN(k) }
	key := func(kind string) string { return fmt.Sprint(kind, n(4)) }
	x := strconv.Itoa(n(20))
	choices := []func() []string{
		func() []string { return []string{"SET", key("s"), x} },
		func() []string { return []string{"SET", key("s"), x, "EX", "1000"} },
		func() []string { return []string{"SET", key("s"), x, "PX", strconv.Itoa(1 + n(40))} },
		func() []string { return []string{"SET", key("s"), x, "XX", "KEEPTTL"} },
		func() []string { return []string{"SET", key("s"), x, "NX", "GET"} },
		func() []string { return []string{"SET", key("big"), strings.Repeat(x, 1+n(40<<10))} },
		func() []string { return []string{"GET", key("big")} },
		func() []string {
			if n(8) == 0 { // more than moves a client to the bulk lane
				return []string{"SET", key("big"), strings.Repeat(x, 1<<20)}
			}
			return []string{"GETRANGE", key("big"), "0", x}
		},
		func() []string { return []string{"GETDEL", key("s")} },
		func() []string { return []string{"GETEX", key("s"), "EX", "2000"} },
		func() []string { return []string{"INCR", key("i")} },
		func() []string { return []string{"INCRBYFLOAT", key("f"), "0.5"} },
		func() []string { return []string{"APPEND", key("a"), x} },
		func() []string { return []string{"SETRANGE", key("a"), strconv.Itoa(n(50)), x} },
		func() []string { return []string{"DEL", key("a"), key("s")} },
		func() []string { return []string{"MSET", key("s"), x, key("i"), x} },
		func() []string { return []string{"MSETNX", key("s"), x, key("i"), x} },
		func() []string { return []string{"EXPIRE", key("l"), "3000"} },
		func() []string { return []string{"PEXPIRE", key("l"), strconv.Itoa(1 + n(40))} },
		func() []string { return []string{"PERSIST", key("l")} },
		func() []string { return []string{"LPUSH", key("l"), x, "y"} },
		func() []string { return []string{"RPOP", key("l")} },
		func() []string { return []string{"LPOP", key("l"), "3"} },
		func() []string { return []string{"LMOVE", key("l"), key("l"), "LEFT", "RIGHT"} },
		func() []string { return []string{"LREM", key("l"), "1", x} },
		func() []string { return []string{"SADD", key("t"), x, "a"} },
		func() []string { return []string{"SPOP", key("t"), "2"} },
		func() []string { return []string{"SMOVE", key("t"), key("t"), x} },
		func() []string { return []string{"SUNIONSTORE", key("t"), key("t"), key("t")} },
		func() []string { return []string{"HSET", key("h"), x, x} },
		func() []string { return []string{"HINCRBY", key("h"), "n", x} },
		func() []string { return []string{"HDEL", key("h"), x} },
		func() []string { return []string{"ZADD", key("z"), x, x} },
		func() []string { return []string{"ZINCRBY", key("z"), "1.5", x} },
		func() []string { return []string{"ZPOPMIN", key("z")} },
		func() []string { return []string{"ZUNIONSTORE", key("z"), "2", key("z"), key("z")} },
		func() []string { return []string{"XADD", key("x"), "*", "f", x} },
		func() []string { return []string{"XTRIM", key("x"), "MAXLEN", "10"} },
		func() []string { return []string{"RENAME", key("s"), key("s")} },
		func() []string { return []string{"COPY", key("l"), key("l"), "REPLACE"} },
		func() []string { return []string{"SORT", key("t"), "ALPHA", "STORE", key("l")} },
		func() []string { return []string{"MOVE", key("i"), strconv.Itoa(n(4))} },
		func() []string { return []string{"COPY", key("z"), key("z"), "DB", strconv.Itoa(n(4)), "REPLACE"} },
		func() []string { return []string{"LRANGE", key("l"), "0", "-1"} },
		func() []string { return []string{"SCAN", "0", "COUNT", "100"} },
		func() []string { return []string{"INCR", key("l")} },
	}
	return choices[n(len(choices))]()
}

// audit compares what the client was told with what both servers hold.
func (c *soaker) audit() {
	if c.flushes() {
		return
	}
	for _, server := range []*redisd.Server{c.source, c.target} {
		w := dial(c.t, server.Addr)
		w.ask("SELECT", c.db())
		n, _ := strconv.ParseInt(string(w.ask("GET", fmt.Sprint("own:n:", c.id)).Str), 10, 64)
		if n < c.n || n > c.n+c.unknown {
			c.t.Errorf("client %d: its counter is %d on %s, it was told %d, with %d unknown", c.id, n, server.Addr, c.n, c.unknown)
		}
		seen := map[string]int{}
		for _, x := range texts(w.ask("LRANGE", fmt.Sprint("own:l:", c.id), "0", "-1")) {
			if seen[x]++; seen[x] > 1 {
				c.t.Errorf("client %d: %s was pushed twice", c.id, x)
			}
			if _, sent := c.list[x]; !sent {
				c.t.Errorf("client %d: %s was never pushed", c.id, x)
			}
		}
		for x, acknowledged := range c.list {
			if acknowledged && seen[x] == 0 {
				c.t.Errorf("client %d: %s was acknowledged and is not there", c.id, x)
			}
		}
		_ = w.Close()
	}
}
