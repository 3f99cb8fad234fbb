// Package load drives the proxy as applications do, and notices by itself when something is wrong.
//
// Every client has keys of its own, of which it knows the content exactly: an INCR must answer one more than
// the last, a popped element must be the one that was pushed, a transaction's replies must be those of its
// commands in their order. So a lost, a doubled or a reordered acknowledged write is seen at the next command.
// Besides, all clients work on the keys of a shared keyspace (package keyspace), copied and not yet copied ones
// alike, where only errors are wrong. About half of all commands read, modify and write.
//
// A Watcher looks at the target meanwhile: it must never show what the source never had.
package load

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tandem/test/keyspace"
	"tandem/test/wire"
)

// Config of a load.
type Config struct {
	// Addr is the proxy's listener.
	Addr string
	// Layout is the shared keyspace, filled before.
	Layout keyspace.Layout
	// Clients is the number of connections, at least 1.
	Clients int
	// Seed makes the sequence of each client's commands.
	Seed uint64
	// Server is the older of source and target: commands that it lacks are left out.
	Server wire.Server
	// Rate bounds the commands per second of all clients together; 0: as fast as they can.
	Rate float64
	// NoFlush: the spare database is never emptied. Who is told of what goes past the proxy is not told which database it was, and
	// must compare all keys.
	NoFlush bool
	// Reconnect lets a client whose connection ends connect again, for up to ReconnectWithin, and check that
	// nothing it was answered is lost. Without it the end of a connection is a problem.
	Reconnect bool
	// ReconnectWithin bounds one outage of the listener; 0 takes 30 s.
	ReconnectWithin time.Duration
}

// SpareDB is a database that the clients write to and flush now and then.
const SpareDB = 9

// maxPipeline is the deepest pipeline of a client.
const maxPipeline = 16

// Load is a running load. Stop ends it.
type Load struct {
	cfg     Config
	stop    chan struct{}
	clients sync.WaitGroup
	limit   *rate.Limiter // nil: none
	started time.Time

	commands  atomic.Int64
	lastReply atomic.Int64 // when any client was last answered, ns since started
	slowest   atomic.Int64 // longest batch since the last Pauses, ns
	silence   atomic.Int64 // longest time without any reply since the last Pauses, ns

	mu       sync.Mutex // guards what follows
	problems []string
	count    int
	ended    time.Duration
}

// keptProblems is how many problems are kept as text; all are counted.
const keptProblems = 40

// Start connects the clients and lets them run. It fails if one cannot connect.
func Start(cfg Config) (*Load, error) {
	l := &Load{cfg: cfg, stop: make(chan struct{}), started: time.Now()}
	if cfg.Rate > 0 {
		l.limit = rate.NewLimiter(rate.Limit(cfg.Rate), maxPipeline*4)
	}
	clients := make([]*client, cfg.Clients)
	for i := range clients {
		c, err := newClient(l, i)
		if err != nil {
			for _, c := range clients[:i] {
				c.conn.Close()
			}
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		clients[i] = c
	}
	for _, c := range clients {
		l.clients.Go(c.run)
	}
	return l, nil
}

// Report is what a load has seen.
type Report struct {
	// Commands that were answered, and for how long the load ran.
	Commands int64
	Took     time.Duration
	// Problems are error replies, wrong replies and lost connections: the first few of Count.
	Problems []string
	Count    int
}

func (r Report) String() string {
	s := fmt.Sprintf("%d commands in %v, %.0f/s, %d problems", r.Commands, r.Took.Round(time.Millisecond),
		float64(r.Commands)/r.Took.Seconds(), r.Count)
	for _, p := range r.Problems {
		s += "\n  " + p
	}
	return s
}

// Stop lets every client finish what it has sent, ends it, and reports.
func (l *Load) Stop() Report {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		l.ended = time.Since(l.started)
		close(l.stop)
	}
	l.mu.Unlock()
	l.clients.Wait()
	return l.Report()
}

// Report is what the load has seen so far.
func (l *Load) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.ended
	if took == 0 {
		took = time.Since(l.started)
	}
	return Report{Commands: l.commands.Load(), Took: took, Problems: append([]string(nil), l.problems...), Count: l.count}
}

// Commands is how many commands were answered so far.
func (l *Load) Commands() int64 { return l.commands.Load() }

// Pauses are the longest waits that clients saw.
type Pauses struct {
	// Slowest is the longest that one client waited for a pipeline's replies.
	Slowest time.Duration
	// Silence is the longest time in which no client at all was answered.
	Silence time.Duration
}

// Pauses returns the longest waits since the last call, and begins anew.
func (l *Load) Pauses() Pauses {
	return Pauses{time.Duration(l.slowest.Swap(0)), time.Duration(l.silence.Swap(0))}
}

// answered records that a pipeline of n commands, sent at sent, has been answered.
func (l *Load) answered(n int, sent time.Time) {
	now := time.Now()
	l.commands.Add(int64(n))
	raise(&l.slowest, int64(now.Sub(sent)))
	since := int64(now.Sub(l.started))
	if last := l.lastReply.Swap(since); last != 0 {
		raise(&l.silence, since-last)
	}
}

func raise(to *atomic.Int64, v int64) {
	for {
		old := to.Load()
		if v <= old || to.CompareAndSwap(old, v) {
			return
		}
	}
}

func (l *Load) problem(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; l.count <= keptProblems {
		l.problems = append(l.problems, fmt.Sprintf("%7.3fs ", time.Since(l.started).Seconds())+fmt.Sprintf(format, a...))
	}
}

func (l *Load) stopping() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}
