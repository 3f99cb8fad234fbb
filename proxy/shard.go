package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/instance"
	"tandem/internal/latency"
	"tandem/internal/ledger"
	"tandem/internal/loop"
	"tandem/internal/moves"
	"tandem/internal/script"
	"tandem/internal/trace"
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
	// Descriptors bounds how many file descriptors clients may use; nil: nothing does.
	Descriptors *Descriptors
	// PrimaryWait is how long a command waits while the primary is unreachable.
	PrimaryWait time.Duration
	// At is the side of the ledger that the primary is. It is the primary's but where clients write at both instances, and this
	// shard is the one of the secondary's: of the two shards that share a ledger then each has its own instance's clients.
	At ledger.Side
	// TwoWay: clients write at both instances (see twoway.go), once it replicates.
	TwoWay bool
	// Source is the instance whose clients these are, and by whose rules they log in; nil: the first primary.
	Source *instance.Instance
	// Auth is who may come in.
	Auth Auth
	// MaxReply is how many bytes of one reply are kept together at most, where it cannot be passed on as it comes:
	// a message of a channel, an EXEC that changes the session. Default 1 GiB.
	MaxReply int
	// Moves leaves out what does not move. Nil: everything does.
	Moves *moves.Filter
	// Renumbered: databases have other numbers on one of the servers (instance.Renumber).
	Renumbered bool
	// Extend is how much longer keys live on the target than on the source, of those that expire, while the source answers.
	Extend time.Duration
	// Deny are the commands that are not passed on.
	Deny *router.Deny
	// Writes are writing commands that neither the table nor the primary tells of, by name in upper case.
	Writes map[string]*router.Command
	// Settle is how long an old connection counts as alive where CLIENT LIST or KILL is blocked.
	Settle time.Duration
	// Info is what INFO says of Tandem itself: lines "name:value". Nil: nothing.
	Info func() []string
	// OnConnect is told, under the lock, what an instance is whenever a lane to it has connected.
	OnConnect func(i *instance.Instance, f instance.Facts)
	// OnReadOnly is told, under the lock, when the primary has answered a write with READONLY: it may have become a
	// replica. Copies are held then, until HoldCopies. Nil: nobody is told.
	OnReadOnly func()
	// Scripts says what becomes of scripts and functions on the secondary.
	Scripts Scripts
	// Log gets what an operator should know.
	Log *slog.Logger

	laneBuffer int           // for tests: another size for what replies are read into
	laneIdle   time.Duration // for tests: another defaultLaneIdle
	crowdStays time.Duration // for tests: another defaultCrowdStays
}

// maxReply is the default of Options.MaxReply.
const maxReply = 1 << 30

// Shard is one primary, the lanes to it, its ledger, and the lane to its secondary. Its lock is the
// ledger's.
type Shard struct {
	opt    Options
	ledger *ledger.Ledger
	// loops wait for clients and for the primary. Where a connection is encrypted, a goroutine of its own does.
	loops *loop.Set
	// turn is the one in which replies of the primary are judged just now.
	turn  *loop.Turn
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	free  *request
	freed int
	// news is told when what a session may wait for has changed: a hold, a lane, a backlog.
	news news

	accounts accounts
	first    *instance.Instance // the source
	primary  *upstream
	effects  *EffectLane // nil while nothing is replicated
	dual     bool        // writes go through the ledger
	// copiesHeld: the primary is not to be read from, see HoldCopies.
	copiesHeld bool
	held       bool
	holds      uint64      // how many there have been
	arrived    uint64      // commands that may block, so far
	line       []*blocking // those that wait to be issued, in the order of their arrival
	taking     bool        // commands that block are being taken back
	strayed    bool        // a request to take one back was lost, and may be executed at any time
	sliced     atomic.Bool // they cannot be: they block for short times only
	learned    map[string]*learned
	scripts    scripts
	given      map[*instance.Instance]int64 // the last connection to a primary that was given up
	stopping   bool
	busy       busyness
	watches    sync.Once // begins watchBusy and watchIdle
	scanEpoch  int
	lateAfter  int64              // see TimeAnswers; 0: no answer is late
	answers    *latency.Histogram // see MeasureAnswers; nil: nobody measures

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
	shadows      shadows
	feeds        feeds
	crowds       map[ledger.Hash]*crowd // who waits for the entries of a stream
	takers       map[string]*takers     // who waits for something to take, where nobody blocks

	generation atomic.Int64
	hints      atomic.Pointer[hints]
	counts     Counts
	timings    [2]Timings // of the source and the target
	traces     traces
}

// Counts are totals since the start.
type Counts struct {
	Commands, Writes, Unkeyed uint64
	LanesLost                 uint64
	EffectLanesLost           uint64
	EffectBytes, CopyBytes    uint64            // handed to the secondary's lane
	MismatchedBy              map[string]uint64 // by command
	AckTimeouts               uint64
	// Answers are commands of clients that were answered: by the primary, or in its place because it is out of reach. Errors
	// are those of them that were an error, Late those that took longer than TimeAnswers has said, without such as block.
	Answers, Errors, Late uint64
	// Kinds are the answers by what was asked, of those that the primary gave.
	Kinds [commandKinds]uint64
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
	inst    *instance.Instance
	facts   instance.Facts
	timings *Timings
	known   bool // a lane has connected: no connection of an earlier process is alive, and facts is filled
	door    door

	unblocks      sync.Once // see findSliced
	unblocksKnown atomic.Bool

	hellos map[int][]byte // what it answers to HELLO, by protocol
	ctx    context.Context
	stop   context.CancelFunc
	lanes  map[laneKey]*laneSet
	pinned map[*lane]struct{}  // all that serve one session at a time
	idle   map[laneKey][]*lane // those of them that nobody uses
}

// laneKey is what sessions have in common that share a lane: no command that changes any of it is ever slipped
// in between theirs.
type laneKey struct {
	who   *account
	db    int
	resp3 bool
}

// laneSet are the shared lanes of one key. They are started when they are first asked for.
type laneSet struct {
	shared []*lane // sessions are spread over them
	bulk   *lane   // for sessions with large commands or replies, so that those delay nobody else
}

func (ls *laneSet) each(f func(*lane)) {
	for _, ln := range ls.shared {
		if ln != nil {
			f(ln)
		}
	}
	if ls.bulk != nil {
		f(ls.bulk)
	}
}

// forget takes a lane out.
func (ls *laneSet) forget(ln *lane) {
	for i := range ls.shared {
		if ls.shared[i] == ln {
			ls.shared[i] = nil
		}
	}
	if ls.bulk == ln {
		ls.bulk = nil
	}
}

// NewShard returns a shard whose commands go to primary and nowhere else. databases is how many are migrated.
func NewShard(l *ledger.Ledger, primary *instance.Instance, facts instance.Facts, databases int, o Options) *Shard {
	if o.laneBuffer == 0 {
		o.laneBuffer = laneBuffer
	}
	if o.laneIdle == 0 {
		o.laneIdle = defaultLaneIdle
	}
	if o.crowdStays == 0 {
		o.crowdStays = defaultCrowdStays
	}
	if o.MaxReply == 0 {
		o.MaxReply = maxReply
	}
	sh := &Shard{opt: o, ledger: l, accounts: newAccounts(), first: primary, learned: map[string]*learned{}}
	if o.Source != nil {
		sh.first = o.Source
	}
	var err error
	if sh.loops, err = loop.Start(max(1, runtime.GOMAXPROCS(0)/2)); err != nil {
		o.Log.Warn("each connection is waited for by a goroutine, which costs more", "error", err)
	}
	sh.scripts.book = script.NewBook(scriptMemory)
	sh.ctx, sh.stop = context.WithCancel(context.Background())
	sh.primary = sh.newUpstream(primary, facts)
	sh.given = map[*instance.Instance]int64{}
	sh.counts.MismatchedBy = map[string]uint64{}
	sh.env.DBs = databases
	sh.traces.left = untraced
	sh.publish()
	sh.work.Go(sh.watchSilence)
	return sh
}

func (sh *Shard) newUpstream(i *instance.Instance, f instance.Facts) *upstream {
	u := &upstream{inst: i, facts: f, timings: sh.timingsOf(i), hellos: map[int][]byte{}, lanes: map[laneKey]*laneSet{}, pinned: map[*lane]struct{}{},
		idle: map[laneKey][]*lane{}}
	u.ctx, u.stop = context.WithCancel(sh.ctx)
	return u
}

// Open connects the first lane, without waiting for a session that needs it.
func (sh *Shard) Open() {
	sh.lock()
	defer sh.unlock()
	sh.lanesOf(sh.primary, laneKey{who: sh.accounts.own})
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

// lanesOf returns the lanes of a key, the shared ones started. The lock is held.
func (sh *Shard) lanesOf(u *upstream, k laneKey) *laneSet {
	ls := u.lanes[k]
	if ls == nil {
		ls = &laneSet{shared: make([]*lane, max(1, sh.opt.Lanes))}
		u.lanes[k] = ls
	}
	for i, ln := range ls.shared {
		if ln == nil {
			ls.shared[i] = sh.startLane(u, k)
		}
	}
	return ls
}

// bulkLane returns the lane of a key for large commands and replies. The lock is held.
func (sh *Shard) bulkLane(u *upstream, k laneKey) *lane {
	ls := sh.lanesOf(u, k)
	if ls.bulk == nil {
		ls.bulk = sh.startLane(u, k)
	}
	return ls.bulk
}

func (sh *Shard) startLane(u *upstream, k laneKey) *lane {
	ln := sh.newLane(u, k)
	sh.work.Go(ln.run)
	sh.watches.Do(func() {
		sh.work.Go(sh.watchBusy)
		sh.work.Go(sh.watchIdle)
	})
	return ln
}

// maxFree is how many requests are kept for reuse.
const maxFree = 16 << 10

// freeRequest keeps a request for reuse.
func (sh *Shard) freeRequest(r *request) {
	if r.traced != nil {
		r.tellUnanswered(sh, trace.Unsent)
	}
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
	for k := range sh.primary.lanes {
		if !slices.Contains(dbs, k.db) {
			dbs = append(dbs, k.db)
		}
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

// Plus is the sum of two shards' totals.
func (c Counts) Plus(o Counts) Counts {
	c.Commands += o.Commands
	c.Writes += o.Writes
	c.Unkeyed += o.Unkeyed
	c.LanesLost += o.LanesLost
	c.EffectLanesLost += o.EffectLanesLost
	c.EffectBytes += o.EffectBytes
	c.CopyBytes += o.CopyBytes
	c.AckTimeouts += o.AckTimeouts
	c.Answers += o.Answers
	c.Errors += o.Errors
	c.Late += o.Late
	for kind, n := range o.Kinds {
		c.Kinds[kind] += n
	}
	for command, n := range o.MismatchedBy {
		c.MismatchedBy[command] += n
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

// Gone reports whether no lane to the primary is connected, though some are wanted: nobody is answered then.
func (sh *Shard) Gone() bool {
	sh.lock()
	defer sh.unlock()
	_, gone := sh.primary.firstDown()
	for _, ls := range sh.primary.lanes {
		ls.each(func(ln *lane) { gone = gone && !ln.up })
	}
	for ln := range sh.primary.pinned {
		gone = gone && !ln.up
	}
	return gone
}

// NoneUp reports whether no lane to the primary is connected, wanted or not. The lock is held.
func (sh *Shard) NoneUp() bool {
	none := true
	for _, ls := range sh.primary.lanes {
		ls.each(func(ln *lane) { none = none && !ln.up })
	}
	for ln := range sh.primary.pinned {
		none = none && !ln.up
	}
	return none
}

// Trouble says why a lane is not connected.
func (sh *Shard) Trouble() string {
	sh.lock()
	defer sh.unlock()
	return sh.primary.trouble()
}

// connected reports whether all lanes are up that somebody is there for.
func (u *upstream) connected() bool {
	_, down := u.firstDown()
	return !down
}

// trouble says why one of the lanes is not.
func (u *upstream) trouble() string {
	why, _ := u.firstDown()
	return why
}

func (u *upstream) firstDown() (why string, down bool) {
	for k, ls := range u.lanes {
		if k.who.absent() {
			continue
		}
		ls.each(func(ln *lane) {
			if !ln.up {
				why, down = ln.lastErr, true
			}
		})
	}
	return why, down
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
	sh.loops.Close()
}
