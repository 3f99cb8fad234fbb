package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/router"
)

// Options of a shard.
type Options struct {
	// ID names our connections on the servers; Generation tells this process from earlier ones of the same
	// state directory.
	ID, Generation string
	// Lanes is how many lanes a database has. Sessions are spread over them.
	Lanes int
	// MaxLagBytes bounds the effects that wait for the secondary.
	MaxLagBytes int
	// AckBoth: a write is answered when the secondary has acknowledged it, after AckTimeout at the latest.
	AckBoth    bool
	AckTimeout time.Duration
	// PrimaryWait is how long a command waits while the primary is unreachable.
	PrimaryWait time.Duration
	// Settle is how long an old connection counts as alive where CLIENT LIST or KILL is blocked.
	Settle time.Duration
	// OnConnect is told, under the lock, what an instance is whenever a lane to it has connected.
	OnConnect func(i *instance.Instance, f instance.Facts)
	// Log gets what an operator should know.
	Log *slog.Logger

	laneBuffer int // for tests: another size for what replies are read into
}

// Shard is one primary, the lanes to it, its ledger, and the lane to its secondary. Its lock is the
// ledger's.
type Shard struct {
	opt    Options
	ledger *ledger.Ledger
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	free   *request
	freed  int
	// news is told when what a session may wait for has changed: a hold, a lane, a backlog.
	news news

	primary   *upstream
	effects   *EffectLane // nil while nothing is replicated
	dual      bool        // writes go through the ledger
	held      bool
	given     map[*instance.Instance]int64 // the last connection to a primary that was given up
	stopping  bool
	scanEpoch int

	env     router.Env
	effect  router.Effect // scratch
	payload payload
	lEffect ledger.Effect
	args    [][]byte
	follow  [][]byte
	now     int64 // Unix nanoseconds, read once per batch
	// primaryAhead is the primary's clock minus ours.
	primaryAhead time.Duration
	gates        gates

	generation atomic.Int64
	hints      atomic.Pointer[hints]
	counts     Counts
}

// Counts are totals since the start.
type Counts struct {
	Commands, Writes, Unkeyed uint64
	LanesLost                 uint64
	MismatchedBy              map[string]uint64 // by command
	AckTimeouts               uint64
}

// news wakes all who wait for a change. Both methods are called with the shard's lock held, so none is missed
// between a look and the wait.
type news struct{ c chan struct{} }

// next returns a channel that is closed by the next tell.
func (n *news) next() <-chan struct{} {
	if n.c == nil {
		n.c = make(chan struct{})
	}
	return n.c
}

func (n *news) tell() {
	if n.c != nil {
		close(n.c)
		n.c = nil
	}
}

// upstream is the instance that answers, with its lanes.
type upstream struct {
	inst   *instance.Instance
	facts  instance.Facts
	known  bool // a lane has connected: no connection of an earlier process is alive, and facts is filled
	ctx    context.Context
	stop   context.CancelFunc
	lanes  map[int][]*lane    // by database
	pinned map[*lane]struct{} // all that serve one session at a time
	idle   map[int][]*lane    // those of them that nobody uses, by database
}

// NewShard returns a shard whose commands go to primary and nowhere else. databases is how many are migrated.
func NewShard(l *ledger.Ledger, primary *instance.Instance, facts instance.Facts, databases int, o Options) *Shard {
	if o.laneBuffer == 0 {
		o.laneBuffer = laneBuffer
	}
	sh := &Shard{opt: o, ledger: l}
	sh.ctx, sh.stop = context.WithCancel(context.Background())
	sh.primary = sh.newUpstream(primary, facts)
	sh.given = map[*instance.Instance]int64{}
	sh.counts.MismatchedBy = map[string]uint64{}
	sh.env.DBs = databases
	sh.publish()
	return sh
}

func (sh *Shard) newUpstream(i *instance.Instance, f instance.Facts) *upstream {
	u := &upstream{inst: i, facts: f, lanes: map[int][]*lane{}, pinned: map[*lane]struct{}{}, idle: map[int][]*lane{}}
	u.ctx, u.stop = context.WithCancel(sh.ctx)
	return u
}

// Open connects the first lane, without waiting for a session that needs it.
func (sh *Shard) Open() {
	sh.lock()
	defer sh.unlock()
	sh.lanesOf(sh.primary, 0)
}

// Known reports whether the primary was connected since it is the primary: from then on nothing changes it but
// what this process sends. The lock is held.
func (sh *Shard) Known() bool { return sh.primary.known }

// Ledger returns the shard's ledger, whose lock is the shard's.
func (sh *Shard) Ledger() *ledger.Ledger { return sh.ledger }

func (sh *Shard) lock()   { sh.ledger.Lock() }
func (sh *Shard) unlock() { sh.ledger.Unlock() }

// Primary returns the instance that answers.
func (sh *Shard) Primary() *instance.Instance {
	sh.lock()
	defer sh.unlock()
	return sh.primary.inst
}

// Answering is Primary for those who hold the lock.
func (sh *Shard) Answering() *instance.Instance { return sh.primary.inst }

// ConnName names a new connection; older ones of the same use have other names.
func (sh *Shard) ConnName(what string) string {
	n := sh.generation.Add(1)
	return instance.ConnName(sh.opt.ID, what, sh.opt.Generation+"."+strconv.FormatInt(n, 10))
}

// lanesOf returns the lanes of a database, starting them when they are first asked for. The lock is held.
func (sh *Shard) lanesOf(u *upstream, db int) []*lane {
	ls := u.lanes[db]
	for len(ls) < max(1, sh.opt.Lanes) {
		ln := sh.newLane(u, db)
		ls = append(ls, ln)
		u.lanes[db] = ls
		sh.work.Go(ln.run)
	}
	return ls
}

// bulkLane returns the lane of a database for sessions with large commands or replies, so that those delay
// nobody else. It is behind the others in the list, and is started when it is first asked for. The lock is held.
func (sh *Shard) bulkLane(u *upstream, db int) *lane {
	ls := sh.lanesOf(u, db)
	n := max(1, sh.opt.Lanes)
	if len(ls) == n {
		ls = append(ls, sh.newLane(u, db))
		u.lanes[db] = ls
		sh.work.Go(ls[n].run)
	}
	return ls[n]
}

// maxFree is how many requests are kept for reuse.
const maxFree = 16 << 10

// freeRequest keeps a request for reuse.
func (sh *Shard) freeRequest(r *request) {
	if sh.freed >= maxFree {
		return
	}
	r.reset()
	r.next = sh.free
	sh.free = r
	sh.freed++
}

// DBs returns the databases that sessions have used.
func (sh *Shard) DBs() []int {
	sh.lock()
	defer sh.unlock()
	var dbs []int
	for db := range sh.primary.lanes {
		dbs = append(dbs, db)
	}
	return dbs
}

// Shift is what is added to expiries for the secondary, in ms.
func (sh *Shard) Shift() int64 {
	sh.lock()
	defer sh.unlock()
	return sh.env.Shift
}

// SetClock tells how far the primary's clock is ahead of ours, how much expiries given as relative must be
// shifted for the secondary, and how far apart the two may be. The lock is held.
func (sh *Shard) SetClock(primaryAhead, shift, skew time.Duration) {
	sh.primaryAhead = primaryAhead
	sh.env.Shift = shift.Milliseconds()
	if sh.effects != nil {
		sh.effects.skew = skew
	}
}

// Counts returns a copy of the totals.
func (sh *Shard) Counts() Counts {
	sh.lock()
	defer sh.unlock()
	c := sh.counts
	c.MismatchedBy = make(map[string]uint64, len(sh.counts.MismatchedBy))
	for k, v := range sh.counts.MismatchedBy {
		c.MismatchedBy[k] = v
	}
	return c
}

// PrimaryUp reports whether the lanes in use are connected.
func (sh *Shard) PrimaryUp() bool {
	sh.lock()
	defer sh.unlock()
	return sh.primary.connected()
}

// Connected is PrimaryUp for those who hold the lock.
func (sh *Shard) Connected() bool { return sh.primary.connected() }

// Trouble says why a lane is not connected.
func (sh *Shard) Trouble() string {
	sh.lock()
	defer sh.unlock()
	return sh.primary.trouble()
}

// connected reports whether all lanes are up.
func (u *upstream) connected() bool {
	for _, ls := range u.lanes {
		for _, ln := range ls {
			if !ln.up {
				return false
			}
		}
	}
	return true
}

// trouble says why one of the lanes is not.
func (u *upstream) trouble() string {
	for _, ls := range u.lanes {
		for _, ln := range ls {
			if !ln.up {
				return ln.lastErr
			}
		}
	}
	return ""
}

// errorReply makes an error of the proxy's own. Its text names Tandem, so that nobody looks for it in the
// server.
func errorReply(dst []byte, format string, args ...any) []byte {
	dst = append(dst, "-ERR tandem: "...)
	dst = append(dst, oneLine(fmt.Sprintf(format, args...))...)
	return append(dst, '\r', '\n')
}

// oneLine makes a text fit into an error reply.
func oneLine(text string) string {
	if strings.ContainsAny(text, "\r\n") {
		text = strings.NewReplacer("\r", " ", "\n", " ").Replace(text)
	}
	return text[:min(len(text), 500)]
}

// Close ends all lanes. Sessions must have ended.
func (sh *Shard) Close() {
	sh.lock()
	sh.stopping = true
	sh.news.tell()
	sh.unlock()
	sh.stop()
	sh.work.Wait()
}
