// Package ledger is what is known of each key while an instance is kept equal to another: the version of
// its stripe, whether it is exact, whether it is dirty. It decides, for every reply of the primary, whether
// the effect is forwarded or the key is copied, and in which order writes of different lanes may be sent.
//
// It owns the stripes, the queues of writes that wait for them, the exact set, the dirty set and the list
// of effects that the secondary has not acknowledged. It never does I/O: bytes go out through a Sink, and
// whoever moves them reports back what arrived (Reply, Acked) and what was lost (Unanswered, SinkLost).
//
// # The lock
//
// A Ledger is a mutex, and that mutex is the lock of its whole shard: the lanes' queues are appended under
// it too, so that "owns the stripe" and "is on the lane", and "the reply was judged" and "the effect is on
// the secondary's lane", are one step each. Every method is called with it held unless its comment says
// otherwise. No other lock is taken while it is held, except the short ones of a connection's write queue.
//
// # The invariants
//
//	I1  One lane at a time. Writes in flight on a stripe are all on the stripe's owner, so the order in
//	    which their replies arrive is the order in which the primary executed them.
//	I2  In that order. Effects enter the Sink in the order of the replies, a copy's RESTORE enters it only
//	    if no write was sent to the stripe since before the copy's read (the version), or if the read
//	    owned the stripe itself. So for each key the Sink's order is the primary's order.
//	I3  Only onto what is known. An effect that depends on the earlier state is forwarded only if the
//	    secondary's state of all its keys equals, at that point of the order, the primary's (exact).
//	    So the secondary never holds a value that the primary did not hold (P3). While somebody blocks on a
//	    key, nobody knows that of it (blocked.go), and whatever may have been made from a key that others have
//	    changed meanwhile, or may hide what they have done, is copied (foreign.go).
//	I4  Owed until done. A key that is not exact is either dirty (in the set, queued for the copier), or
//	    unknown while a sweep is owed or running that will reach it. Nothing leaves those two states but by
//	    a blind effect or a copy that was sent after the key entered them (P2). A key that turns out not to
//	    have been exact becomes dirty, and so does what was made from it meanwhile (suspects).
//	    What belongs to no key, scripts and functions, is owed and copied as one thing (everywhere.go).
//	I5  Nobody waits for the secondary. Nothing here blocks; what the Sink refuses becomes dirty (P4), and
//	    a dirty set past its bound becomes an owed sweep (P5).
//	I6  Not forgotten. At every instant the intent map says of all that a crash would leave in doubt (intents.go).
//	    The same holds of the list of kept keys (kept.go): who leaves it is known to be owed by then.
//	I7  No deadlock. A write that must wait takes its place in the queues of all its stripes in one step,
//	    and a copy's read goes ahead of them.
//
// Where clients write at both instances there are four more (twoway.go).
package ledger

import (
	"sync"

	"github.com/dchest/siphash"

	"tandem/internal/intent"
)

// Stripes is the number of hash buckets that order writes. A key belongs to one of them for ever.
const Stripes = 1 << 20

// Hash identifies a key: 128 bits of SipHash over its name, keyed by a secret and the database. Two keys
// with one Hash would be taken for one; at 10^9 keys the odds are below 10^-20.
type Hash struct{ Lo, Hi uint64 }

// Stripe returns the key's stripe.
func (h Hash) Stripe() uint32 { return uint32(h.Lo) & (Stripes - 1) }

// Hasher makes Hashes. Its secret keeps clients from choosing colliding keys; it is kept with the state
// directory, for stripes on disk must mean the same after a restart.
type Hasher struct{ K0, K1 uint64 }

// Sum hashes a key of database db.
func (h Hasher) Sum(db int, name []byte) Hash {
	lo, hi := siphash.Hash128(h.K0^uint64(db)*0x9e3779b97f4a7c15, h.K1, name)
	return Hash{Lo: lo, Hi: hi}
}

// LaneID names a lane of an instance. A number may be used again once nothing of it is in flight.
type LaneID int32

// Key is one key of a write in flight.
type Key struct {
	Hash Hash
	// Name is the key itself; it must stay unchanged until the write is answered.
	Name []byte
	DB   int32
	// Write is false for a key that the command only reads.
	Write bool
	// Stays: it lives on the primary alone (package moves), and Write is false whatever the command does to it. It has a stripe,
	// whose owner tells whose change a report is about, and that is all that is known of it: it is never exact or dirty.
	// Whoever makes the effect leaves out steps that change nothing else, and has what is made from it copied.
	Stays bool
	exact bool // scratch of Reply
	made  bool // scratch of Reply: the effect itself has written it, whatever it was before
}

// Kind tells the few kinds of writes apart.
type Kind uint8

const (
	// Plain is a write of the keys it names.
	Plain Kind = iota
	// Flush empties whole databases (DBs); a barrier over all stripes.
	Flush
	// Swap exchanges two databases (DBs); a barrier over all stripes.
	Swap
	// Anything may write any key, those that it names and others, and is repeated on the secondary: a script. It is a
	// barrier over all stripes, so that its place in the order of every key's writes is known. Whoever does not
	// repeat it makes its effect a copy, which is one of the keys that it names, and sees to the others.
	Anything
	// CopyRead is the read of a copy that kept losing against newer writes. The copier's connection is a
	// lane of its own for it: it owns the stripe, so nothing can be written meanwhile, raises no version, and
	// goes ahead of whatever waits there.
	CopyRead
)

// Write is one write between its arrival and its reply.
type Write struct {
	Kind Kind
	Lane LaneID
	Keys []Key
	// DBs are the databases that a barrier concerns. A flush of none is of such as do not move: it is counted, for it is
	// reported, and has no effect.
	DBs []int
	// Everywhere: it changes what belongs to no key, too (SCRIPT LOAD, FUNCTION LOAD); it may have no keys at all.
	Everywhere bool
	// Hidden: it may write keys that it does not name, and the feeds report them (foreign.go).
	Hidden bool
	// Script: it is a script, whose writes are reported to its own lane, too (see told).
	Script bool
	// Unnamed: it may change other keys than it names, or keys of other databases than was foreseen, and who finds
	// out that it has owes a sweep before, or in the critical section in which, it is settled.
	Unnamed bool
	// Waiter is told when the write may be sent after all. It is needed only where Acquire may say no.
	Waiter Waiter

	at     uint64 // the sequence number at which it was sent
	epoch  uint8  // see Ledger.epoch
	intent uint8  // the generation of the intent map in which it was marked
	queued bool   // it stands among the tickets
	beside bool   // a hidden one was in flight when it was sent
	unkept uint64 // what must be on disk of the list of kept keys before it is sent; 0: nothing
}

func (w *Write) barrier() bool { return w.Kind == Flush || w.Kind == Swap || w.Kind == Anything }

// Waiter is the owner of a write that had to wait.
type Waiter interface {
	// Granted says that w now owns its stripes; the caller holds the lock, and w must be on its lane before
	// the lock is released.
	Granted(w *Write)
}

// Sink is the lane to the secondary. It copies what it keeps.
type Sink interface {
	// Append queues the effect of w, whole or not at all, behind all that was queued before. It reports
	// false when the secondary is not connected or too far behind. Keys listed in e.Guard are preceded by a
	// look at their time to live (see EdgeSuspect).
	Append(w *Write, e *Effect) bool
	// AppendCopy queues the state of one key. It reports false when the secondary is not connected.
	AppendCopy(c *Copy, s *State) bool
}

// dirtyCounts is how many counts there are of keys that became dirty: each is of so many stripes that a shadow read is seldom
// left out for the sake of another one's key.
const dirtyCounts = 1024

// stripe is the unit of ordering. 16 bytes, 2^20 of them.
type stripe struct {
	version  uint64 // sequence number of the last write sent, or of the last key here that became dirty
	owner    int32  // the lane that was the last to own it, and that does while inflight > 0, plus 1; 0 for none yet
	inflight int32
}

// lastOwner is the lane that owns the stripe, or was the last to. It may be gone, and its number another's. -1 for a
// stripe that nobody has owned yet.
func (s *stripe) lastOwner() LaneID { return LaneID(s.owner - 1) }

// Options are a ledger's bounds.
type Options struct {
	Hasher Hasher
	// MaxDirty is how many dirty keys are remembered, with names of 128 bytes on average; more, and a sweep is
	// owed instead.
	MaxDirty int
	// MaxExact is how many exact keys are remembered during a sweep, in 43 bytes each at most; forgetting one
	// costs a copy.
	MaxExact int
	// Intents is the intent map; nil: one that no crash outlives.
	Intents *intent.Map
	// Extends: a key may live longer on the secondary than on the primary, so that where it may expire what a command makes of it
	// cannot be repeated there.
	Extends bool
	// TwoWay: clients write at both instances (twoway.go).
	TwoWay bool
	// Decided is told, with the lock held, of each key whose state on an instance that was down is replaced by the other
	// one's (conflict.go). It keeps nothing of the key. nil: nobody is.
	Decided func(k *Key)
	// Now is the clock for lags, in Unix nanoseconds; it is read once per effect.
	Now func() int64
}

// Stats are counts since the start; the caller copies them under the lock.
type Stats struct {
	Forwarded  uint64 // effects handed to the Sink
	Dropped    uint64 // effects that the Sink refused, or that were lost with its connection
	Mismatched uint64 // effects whose reply was not what it should have been
	Edges      uint64 // effects that landed too close to an expiry to be trusted; not among Mismatched
	Copied     uint64 // copies acknowledged
	Races      uint64 // copies that lost against a newer write
	Failed     uint64 // copies that the secondary refused
	Swept      uint64 // owed sweeps completed
	Overflows  uint64 // times the dirty set passed its bound
	Waits      uint64 // writes that had to wait for another lane
	Foreign    uint64 // keys that became dirty by a report of a change which no lane's write explained
	Others     uint64 // such reports of which nothing that we sent can be the reason: others wrote, or a key expired or was evicted
}

// Ledger is the state of one shard. See the package comment for its lock.
type Ledger struct {
	sync.Mutex
	opt Options
	to  [2]stream // by the instance that it feeds
	two *twoWay   // nil: clients write at the primary only

	seq      uint64 // raised by every write sent and every key made dirty
	barrier  uint64 // seq at which the last barrier was sent: it counts as a write to every stripe
	floor    uint64 // seq at which the dirty set was last forgotten
	stripes  []stripe
	fetched  uint64              // see Fetch
	dirtied  [dirtyCounts]uint32 // how often keys have become dirty, by a part of their stripes' numbers (shadow.go)
	expiring bitset              // stripes in which a time to live was ever set
	lanes    []laneState
	inflight int // writes on lanes, copy reads included
	reads    int // copy reads among them

	// A sweep cannot end before all is answered that was sent before its last page: a key that it did not find
	// may have been removed by a write whose reply is still to come, and would be exact too early. So that
	// this is no wait for a moment without writes, they are counted in two epochs in turn.
	epoch     uint8
	inEpoch   [2]int // writes on lanes, by epoch
	swept     uint64 // the sweep whose last page was followed by a new epoch
	sweptWait bool   // it waits for the older one
	settling  settling

	queues          map[uint32][]*Write // writes that wait, by stripe, in order
	tickets         []*Write            // all of them, in order
	waitingBarriers int                 // barriers among them
	held            bool
	barriers        int    // barriers in flight, all on barrierLane
	flushing        int    // flushes among them
	flushed         uint64 // flushes that were done
	barrierLane     LaneID // valid while barriers > 0

	sweeping bool // a key outside the exact set is unknown
	sweepGen uint64
	owedWhy  string
	againWhy string // another sweep is owed when this one is done; empty: none
	exact    exactSet
	dirty    dirtySet
	later    dirtyHeap
	copying  int

	pushed  uint64 // things that were ever appended to the Sinks; each has its number
	intents intents
	names   arena

	awaits awaited // who waits without blocking

	blocking  int            // commands that wait to be served
	blockedOn map[Hash]int32 // how many wait, by key
	served    uint64         // seq at which the last was served

	foreign    bool   // others may be changing keys
	writers    bool   // ... past the proxy, and not only scripts of ours
	feeds      int    // lanes with a feed
	handed     recent // stripes that have passed from one lane to another
	told       recent // stripes of which scripts have written keys that they name
	gained     recent // stripes that a lane has taken which no lane with a feed had owned
	hidden     recent // all, if a hidden write was in flight
	unfed      recent // stripes that were written without a feed that would not report it
	everywhere everywhere
	kept       keptKeys
	hiding     int    // hidden writes in flight
	hid        uint64 // seq at which the last was sent
	passes     uint64 // times that a stripe was granted to another lane than before

	stats    Stats
	scratch  Effect
	onChange func()

	without rules // for tests: the rules taken out
}

type laneState struct {
	inflight int
	at       Side
	used     bool
	down     bool
	feed     bool // see SetFeed
}

// New returns a ledger in which every key is exact: of two instances that are equal, or of one alone. Call
// OweSweep when they are not known to be equal.
func New(o Options) *Ledger {
	if o.MaxDirty <= 0 || o.MaxExact <= 0 || o.Now == nil {
		panic("ledger: Options must be complete")
	}
	return newLedger(o, Stripes)
}

// newLedger is New for keys whose stripes are all below n.
func newLedger(o Options, n int) *Ledger {
	if o.Intents == nil {
		o.Intents = intent.NewMemory(n)
	}
	number, _ := o.Intents.Sweep()
	l := &Ledger{
		opt:      o,
		stripes:  make([]stripe, n),
		expiring: o.Intents.Expiring(),
		intents:  intents{m: o.Intents, standing: map[uint32]uint32{}},
		sweepGen: number,
		queues:   map[uint32][]*Write{},
		dirty:    newDirtySet(),
		onChange: func() {},
	}
	l.to[Secondary].feeds = Secondary
	if o.TwoWay {
		l.two = newTwoWay(o.Intents.Sides(), Side(o.Intents.Side()), n)
	} else if l.Elsewhere() == 0 {
		clear(o.Intents.Sides()) // from now on marks are about the primary's
		o.Intents.SetSide(uint8(Primary))
	}
	return l
}

// OnChange sets a function that is called, with the lock held, whenever there is more for the copier to do
// or less to wait for. It must not block.
func (l *Ledger) OnChange(f func()) { l.onChange = f }

// Hash returns the hash of a key. It needs no lock.
func (l *Ledger) Hash(db int, name []byte) Hash { return l.opt.Hasher.Sum(db, name) }

// Fetch has the processor bring the stripes of a write close. They are spread over 16 MB, and each is waited for where it is
// needed; those of many writes that are fetched one right after the other come at the same time. It changes nothing. Of a
// write of many keys it fetches the first few: the others come at the same time anyway.
func (l *Ledger) Fetch(w *Write) {
	for i := range w.Keys[:min(len(w.Keys), 8)] {
		l.fetched ^= l.stripes[w.Keys[i].Hash.Stripe()].version // kept, or the compiler would leave it out
	}
}

// Stats returns the counts so far.
func (l *Ledger) Stats() Stats { return l.stats }

// Unsettled is the number of writes sent to the primary whose effect the secondary has not acknowledged
// and whose keys are not dirty.
func (l *Ledger) Unsettled() int {
	return l.inflight - l.reads + l.to[Primary].unacked + l.to[Secondary].unacked
}

// Unreplied is the number of those that the primary has not answered.
func (l *Ledger) Unreplied() int { return l.inflight - l.reads }

// DirtyKeys is the number of keys known to be dirty; while a sweep is owed or running there are more.
func (l *Ledger) DirtyKeys() int { return l.dirty.len() }

// Sweeping reports whether a sweep is owed or running.
func (l *Ledger) Sweeping() bool { return l.sweeping }

// Drained reports whether the primary and the secondary hold the same data at this very moment, with
// nothing on the way between them: the condition of a cutover, which holds clients back to bring it about. What
// others have changed and the feeds have not reported yet is not known here: those are read first.
func (l *Ledger) Drained() bool {
	if l.without&ruleDrain != 0 {
		return l.inflight == 0
	}
	if l.blocking > 0 && l.without&ruleBlockedDrain == 0 {
		return false
	}
	return l.inflight == 0 && l.onTheWay() == 0 && l.dirty.len() == 0 && l.copying == 0 && !l.sweeping &&
		!l.everywhere.owed
}

// bitset is a set of small numbers.
type bitset []uint64

func (b bitset) has(i uint32) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitset) add(i uint32)      { b[i>>6] |= 1 << (i & 63) }

func (b bitset) set(i uint32, on bool) {
	if on {
		b.add(i)
	} else {
		b[i>>6] &^= 1 << (i & 63)
	}
}

func (b bitset) any() bool {
	for _, w := range b {
		if w != 0 {
			return true
		}
	}
	return false
}

// MayHaveExpired reports whether the key may have had a time to live, and so may have come to the end of it.
func (l *Ledger) MayHaveExpired(h Hash) bool { return l.expiring.has(h.Stripe()) }

// AssumeExpiring marks every stripe as one that may hold a time to live. It is for a start that finds data
// on the secondary which this process did not see arrive.
func (l *Ledger) AssumeExpiring() {
	for i := range l.expiring {
		l.expiring[i] = ^uint64(0)
	}
}
