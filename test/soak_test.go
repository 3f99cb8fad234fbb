package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/program"
	"tandem/test/wire"
)

// soak is one process that lives through a number of commands and all kinds of trouble, over and over.
type soak struct {
	t              *testing.T
	source, target *redisd.Server
	links          map[*redisd.Server]*redisdtest.Relay
	td             *program.Tandem
	done           atomic.Int64 // commands that were answered
	stop           chan struct{}
	samples        []sample
}

// sample is what the process occupies at a moment of rest.
type sample struct{ memory, heap, goroutines, files float64 }

// 24 million commands in one life (2 % of that in a quick run), while servers are killed, stopped and cut off, roles
// change and backfills run. What the process occupies in the last third is what it did in the second: memory, goroutines,
// file descriptors. At the end both servers hold the same.
func TestNothingGrowsInALongLife(t *testing.T) {
	total, cycles := 400_000, 1
	if program.Full {
		total, cycles = 24_000_000, 8
	}
	s := &soak{t: t, stop: make(chan struct{}), links: map[*redisd.Server]*redisdtest.Relay{}}
	s.source, s.target = redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	for _, server := range []*redisd.Server{s.source, s.target} {
		s.links[server] = redisdtest.StartRelay(t, server.Addr)
	}
	s.td = program.Prepare(t, "redis://"+s.links[s.source].Addr, "redis://"+s.links[s.target].Addr,
		"primary: {wait: 1s}", "max_dirty_keys: 20000", "exact_keys: 50000", "max_lag_bytes: 8MiB", "auth: {mode: none}",
		"cutover: {max_pause: 5s, wait: 30s}")
	s.td.Start()
	s.td.WaitSynced()

	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { s.client(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	defer clients.Wait()
	end := sync.OnceFunc(func() { close(s.stop) })
	defer end()

	troubles := s.troubles()
	segment := int64(total / (cycles * len(troubles)))
	began := time.Now()
	for range cycles {
		for _, trouble := range troubles {
			goal := s.done.Load() + segment
			trouble.bring()
			s.td.WaitStatus("all is well after: "+trouble.name, program.SyncTime(), func(st program.Status) bool {
				return (st.Phase == "synced" || st.Phase == "reversed") && st.Source.Connected && st.Target.Connected && st.Backfill.State != "running"
			})
			s.td.Until(fmt.Sprintf("%d commands", goal), 10*time.Minute, func() bool { return s.done.Load() >= goal })
			s.look()
		}
	}
	took := time.Since(began)
	end()
	clients.Wait()
	s.td.WaitSettled()
	result, err := keyspace.Compare(s.source.Addr, s.target.Addr, keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d commands in %v (%.0f/s), %d times trouble; then %d keys compared, %d differences", s.done.Load(), took.Round(time.Second),
		float64(s.done.Load())/took.Seconds(), cycles*len(troubles), result.First, len(result.Differences))
	if len(result.Differences) > 0 || result.First == 0 {
		t.Errorf("the servers differ: %s", result)
	}
	s.mustNotHaveGrown()
}

// trouble is one thing that happens.
type trouble struct {
	name  string
	bring func()
}

func (s *soak) troubles() []trouble {
	primary := func() *redisd.Server {
		if s.td.Status().Primary == "target" {
			return s.target
		}
		return s.source
	}
	secondary := func() *redisd.Server {
		if primary() == s.source {
			return s.target
		}
		return s.source
	}
	meanwhile := func() { // some commands go by
		goal := s.done.Load() + 2000
		s.td.Until("commands in trouble", 20*time.Second, func() bool { return s.done.Load() >= goal })
	}
	for range 2 { // what is reached before the first of them is no rest
		meanwhile()
	}
	return []trouble{
		{"the secondary was killed", func() {
			server := secondary()
			server.Kill()
			meanwhile()
			must(s.t, server.Restart(false))
		}},
		{"the secondary was stopped", func() {
			server := secondary()
			must(s.t, server.Pause())
			meanwhile()
			must(s.t, server.Continue())
		}},
		{"a cutover", func() { s.swap("cutover") }},
		{"the links were cut", func() {
			for range 5 {
				s.links[s.source].Cut()
				s.links[s.target].Cut()
				meanwhile()
			}
		}},
		{"what was on the way to the secondary was held back", func() {
			link := s.links[secondary()]
			link.HoldBack()
			meanwhile()
			link.Release()
		}},
		{"a rollback", func() { s.swap("rollback") }},
		{"the primary was restarted without its data", func() {
			server := primary()
			server.Kill()
			must(s.t, server.Restart(false))
		}},
	}
}

// swap changes the roles, as soon as that is possible.
func (s *soak) swap(step string) {
	s.t.Helper()
	s.td.Until(step, program.SyncTime(), func() bool {
		code, _, err := s.td.TryAsk(step)
		return err == nil && code == http.StatusOK
	})
}

// client writes and reads in pipelines, of few keys and of all types, until the end. Whatever becomes of its connection, it
// goes on with a new one.
func (s *soak) client(rnd *rand.Rand) {
	const pipeline = 64
	var c *wire.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		if c == nil {
			if c, _ = wire.Dial(s.td.Addr); c == nil {
				continue
			}
			c.Timeout = 20 * time.Second
		}
		for range pipeline {
			c.Send(command(rnd)...)
		}
		err := c.Flush()
		for i := 0; i < pipeline && err == nil; i++ {
			if _, err = c.Receive(); err == nil {
				s.done.Add(1)
			}
		}
		if err != nil {
			c.Close()
			c = nil
		}
	}
}

// command is one of a mixture that keeps the keyspace at some 20,000 keys, none of which grows without bound.
func command(rnd *rand.Rand) []string {
	key := func(kind string) string { return kind + ":" + strconv.Itoa(rnd.IntN(5000)) }
	small := strconv.Itoa(rnd.IntN(50))
	switch rnd.IntN(14) {
	case 0:
		return []string{"INCR", key("counter")}
	case 1:
		return []string{"HSET", key("hash"), small, small}
	case 2:
		return []string{"ZADD", key("zset"), small, small}
	case 3:
		return []string{"SADD", key("set"), small}
	case 4:
		return []string{"SREM", key("set"), small}
	case 5:
		return []string{"LPUSH", key("list"), small}
	case 6:
		return []string{"LTRIM", key("list"), "0", "20"}
	case 7:
		return []string{"DEL", key("string"), key("list")}
	case 8:
		return []string{"EXPIRE", key("string"), "1000"}
	case 9:
		return []string{"XADD", key("stream"), "MAXLEN", "20", "*", "f", small}
	case 10:
		return []string{"EVAL", "return redis.call('INCR', KEYS[1])", "1", key("counter")}
	case 11:
		return []string{"GET", key("string")}
	default:
		return []string{"SET", key("string"), key("value")}
	}
}

// look notes what the process occupies.
func (s *soak) look() {
	s.t.Helper()
	x := sample{
		memory:     metricOf(s.t, s.td, "process_resident_memory_bytes"),
		heap:       metricOf(s.t, s.td, "go_memstats_next_gc_bytes") / 2, // what was in use at the end of the last collection
		goroutines: metricOf(s.t, s.td, "go_goroutines"),
		files:      metricOf(s.t, s.td, "process_open_fds"),
	}
	s.samples = append(s.samples, x)
	s.t.Logf("%9d commands: %3.0f MiB, of which %4.1f are in use, %3.0f goroutines, %3.0f files", s.done.Load(), x.memory/(1<<20),
		x.heap/(1<<20), x.goroutines, x.files)
}

// mustNotHaveGrown compares medians: a moment of rest is not always one for all of the process.
func (s *soak) mustNotHaveGrown() {
	s.t.Helper()
	third := len(s.samples) / 3
	for _, c := range []struct {
		what  string
		of    func(x sample) float64
		slack float64
	}{
		{"bytes of memory", func(x sample) float64 { return x.memory }, 24 << 20},
		{"bytes in use", func(x sample) float64 { return x.heap }, 8 << 20},
		{"goroutines", func(x sample) float64 { return x.goroutines }, 8},
		{"files", func(x sample) float64 { return x.files }, 8},
	} {
		median := func(of []sample) float64 {
			var values []float64
			for _, x := range of {
				values = append(values, c.of(x))
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		before, after := median(s.samples[third:2*third]), median(s.samples[2*third:])
		s.t.Logf("%s: %.0f in the second third, %.0f in the last", c.what, before, after)
		if after > before+c.slack {
			s.t.Errorf("%s have grown from %.0f to %.0f", c.what, before, after)
		}
	}
}
