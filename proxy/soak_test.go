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
	t.Parallel()
	newSoak(t, redisd.Options{}).run(20*time.Second, (*soak).cut, (*soak).swap)
}

// The servers crash and come back with their data, while connections are cut.
func TestSoakOfCrashes(t *testing.T) {
	t.Parallel()
	newSoak(t, redisd.Options{Save: true}).run(8*time.Second, (*soak).cut, (*soak).crash)
}

func newSoak(t *testing.T, o redisd.Options) *soak {
	s := seededSoak(t)
	s.house = newHouseOn(t, o, o, true, func(o *Options, so *ServerOptions) {
		o.Lanes = 3
		o.MaxLagBytes = 256 << 10
		o.PrimaryWait = 30 * time.Second
		o.AckBoth, o.AckTimeout = s.seed%3 == 0, 50*time.Millisecond
		o.OnConnect = s.connected
		so.OutputLimit = 64 << 20
	})
	s.primary, s.secondary = s.src, s.tgt
	s.doors = []string{s.server.Addr().String()}
	s.link = s.house.link(s.src, s.tgt)
	return s
}

// seededSoak is a soak without servers.
func seededSoak(t *testing.T) *soak {
	s := &soak{stop: make(chan struct{}), runs: map[string]string{}, seed: uint64(time.Now().UnixNano())}
	if v := os.Getenv("TANDEM_SEED"); v != "" {
		var err error
		if s.seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("seed", s.seed)
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
	doors []string // where clients connect, to any of them
	stop  chan struct{}
	link  *link
	seed  uint64
	done  struct{ lanes, effects, copies, pauses, restarts, undone, swaps, crashes int }
	runs  map[string]string // run ids by instance, under the shard's lock

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
	s.cutBetween(primary, secondary, server, rnd)
}

// cutBetween breaks connections of two servers, or stops the second for a while.
func (s *soak) cutBetween(primary, secondary string, server *redisd.Server, rnd *rand.Rand) {
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
