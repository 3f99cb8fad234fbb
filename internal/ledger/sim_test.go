package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tandem/internal/intent"
)

// A sim is one random interleaving of everything that meets in a ledger: clients and their lanes, the
// primary's execution and its replies, the Sink's connection, copies, sweeps, changes of roles, clocks, and
// the faults of each. Every step picks one of the events that are possible now.
//
//	sessions ──► lanes ──► inst[prim] ──► replies ──► Ledger.Reply ──► sink ──► inst[1-prim] ──► Ledger.Acked
//	                           ▲                          │                          ▲
//	                           └──── copies, sweeps ◄── dirty ───────────────────────┘
//
// It checks after each step that the secondary holds only what the primary held (P3), and at rest that both
// hold what all writes, in the order of their execution, amount to (P2), that everything has ended and that
// the ledger's own counts are back at nothing.
type sim struct {
	cfg *simConfig
	no  flaws // rules of the simulated parts that are taken out
	r   *rand.Rand
	l   *Ledger
	log *[]string // set to record the steps

	t, clockErr int // the true time in ms; the error in what the proxy believes the clocks' offset to be
	wall        time.Time
	inst        [2]server
	prim        int
	ref         server // all writes in the order of their execution
	hist        [maxKeys][]string

	lanes    []*simLane
	sessions []*simSession
	writes   int // so far
	bad      error
	settle   bool // nothing new begins any more

	sinks    [2]simSink // by the side that they feed
	libs     [2]string  // what belongs to no key, of both servers
	refLib   string
	bringing bringing

	blocked   []*simBlocked
	inRound   bool // of reading all feeds
	turn      [maxKeys]turnChange
	roundLeft int
	listening int // raised when feeds begin to report after a time without any

	copierLanes [2]LaneID
	jobs        []*copyJob
	wake        bool          // the copier has something to do
	timer       time.Duration // the copier comes back after this, 0: not
	copierFrom  Side          // whose dirty keys the copier is given next
	sweep       simSweep
	sweepWake   bool

	held  bool
	swaps int

	kept simKept

	outage    int // the side that is down as a whole, plus 1; 0: none
	lastOut   Side
	sides     uint64        // of the stripes, and
	decisions uint64        // how many there were, after the last step
	told      [maxKeys]bool // keys that were reported in this step
	untold    [maxKeys]bool // keys that were decided and not reported
	wiped     bool          // ... and has lost its data
	restarted bool          // ... or is another process now

	disk       simDisk
	checkpoint simCheckpoint // taken, and not saved yet
	dead       bool          // the proxy has crashed
	crashes    int
	undead     []*simWrite // what it had sent, and the primary may still execute

	events []event
	slow   [2]string // events that are put off in this run, so that what they end lasts longer
}

// simConfig says what may happen in a simulation.
type simConfig struct {
	name     string
	lanes    int
	writes   int
	kinds    []cmdKind
	keys     int // 4: one database; 8: two
	maxDirty int
	maxLag   int // effects that the Sink takes unacknowledged

	laneFaults, sinkFaults, wipes, refusals, forget, spurious bool

	foreign            bool // writers bypass the proxy
	feeds              int  // so many lanes have one
	turns              bool // the server does more than one thing in a turn
	feedFaults         bool
	block, blockFaults bool
	crash              bool
	turnIntents        float64 // how likely they turn, at least

	empty    bool // the primary has no keys at the start
	synced   bool // both are equal at the start, and no sweep is owed
	cutover  bool
	expiry   bool
	offset   int  // the secondary's clock minus the primary's, ms
	loose    bool // P3 is not promised here (expiry, writes past the proxy, a secondary that refuses)
	matches  bool // what is answered otherwise than it should be has met an expiry (or a swap has renamed what has)
	cancels  bool
	copyRead bool // copies prefer to own the stripe

	kept      bool // the target has keys of its own at the start, which it keeps
	powerLoss bool // a crash may be one of the whole machine

	two      bool // clients write at both
	awaits   bool // who finds nothing to take waits for it
	outages  bool // a side as a whole may be down
	outWipes bool // ... and come back empty
	restarts bool // ... and come back as another process, with its data
	conflict Conflict
	noRef    bool // what all writes amount to is not known

	without     rules     // taken out of the ledger
	withoutKept keptRules // ... of its kept keys
	side        sideRules // ... of its sides
	no          flaws     // taken out of the simulated parts
}

// flaws are what rules are in the ledger: rules of the parts around it, which can be taken out.
type flaws uint32

const (
	flawKill           flaws = 1 << iota // an old connection is known dead before a new one speaks
	flawHold                             // a lost lane's stripes stay held until then
	flawSecondarySweep                   // a sweep has a second half
	flawKeepTTL                          // SET KEEPTTL is not blind
	flawReadOrder                        // a copy's read asks for the TTL first
	flawGuard                            // the Sink looks at the TTL before a guarded effect
	flawWipe                             // a secondary that came back empty owes a sweep
	flawBlockedDead                      // a blocked command whose connection broke is over when that is known dead
	flawFeedBack                         // a feed that is back after a time without any owes a sweep
	flawCovered                          // ... and so does a script that was not covered by feeds
	flawFeedRound                        // a feed is relied on after a whole round
	flawRoundRead                        // a round ends when all feeds have been read
	flawReportsRead                      // roles change when all reports have been read
	flawFrom                             // a copy is read where the truth is
	flawSweepQuiet                       // with clients at both, a sweep begins when all is acknowledged that was sent before
	flawCheckpoint                       // a checkpoint counts when all copies until then are acknowledged
)

// event is something that may happen now; i says to which lane, job or session.
type event struct {
	what string
	i    int
}

const simSteps = 4000

var slowEvents = []string{"", "execute", "reply", "lane up", "land", "ack", "sink up", "sink zombie", "copy",
	"copy reads", "copy ends", "sweep"}

func newSim(cfg *simConfig, seed uint64) *sim {
	s := &sim{cfg: cfg, no: cfg.no, r: rand.New(rand.NewPCG(seed, 0)), wall: time.Unix(1_700_000_000, 0)}
	if cfg.expiry {
		s.clockErr = s.r.IntN(3) - 1
	}
	for k := range keyID(cfg.keys) {
		if !cfg.empty && s.chance(.7) {
			s.inst[0][k].val = "x" + k.name()[4:]
			if cfg.expiry && !cfg.synced && !cfg.two && s.chance(.3) {
				s.inst[0][k].exp = s.now(0) + 5 + s.r.IntN(30)
			}
		}
	}
	s.disk.intents = intent.NewMemory(2)
	s.keep()
	s.begin()
	if cfg.synced || cfg.two {
		s.inst[1] = s.inst[0]
	} else {
		s.l.OweSweep("backfill", 0)
	}
	s.ref = s.inst[0]
	for k := range s.hist {
		s.hist[k] = []string{missing, s.inst[1][k].val}
		s.note(keyID(k))
	}
	slow := slowEvents
	if cfg.feeds > 0 {
		slow = append(slow[:len(slow):len(slow)], "report", "round")
	}
	if cfg.block {
		slow = append(slow[:len(slow):len(slow)], "block arrives", "block reply")
	}
	if cfg.kept {
		slow = append(slow[:len(slow):len(slow)], "kept synced", "kept synced")
	}
	for i := range s.slow {
		s.slow[i] = slow[s.r.IntN(len(slow))]
	}
	s.l.SetForeign(s.hides(), cfg.foreign)
	s.startFeeds()
	return s
}

// hides reports whether there are scripts that write keys which they do not name.
func (s *sim) hides() bool { return slices.Contains(s.cfg.kinds, cmdHidden) }

func (s *sim) chance(p float64) bool { return s.r.Float64() < p }
func (s *sim) now(side int) int      { return 1000 + s.t + side*s.cfg.offset }
func (s *sim) secondary() int        { return 1 - s.prim }

// at is the server that has a role.
func (s *sim) at(side Side) int {
	if side == Primary {
		return s.prim
	}
	return s.secondary()
}

// correctionFrom is what is added to a time of one side to make it one of the other.
func (s *sim) correctionFrom(side Side) int {
	if s.at(side) == 0 {
		return s.cfg.offset + s.clockErr
	}
	return -s.cfg.offset - s.clockErr
}

func (s *sim) fail(format string, args ...any) {
	if s.bad == nil {
		s.bad = fmt.Errorf(format, args...)
	}
}

// note adds the primary's value of a key to those that it has held.
func (s *sim) note(k keyID) {
	v := s.inst[s.prim][k].val
	if s.cfg.two {
		v = s.ref[k].val
	}
	if !slices.Contains(s.hist[k], v) {
		s.hist[k] = append(s.hist[k], v)
	}
}

func (s *sim) noteAll() {
	for k := range keyID(s.cfg.keys) {
		s.note(k)
	}
}

// run takes steps until nothing can happen any more.
func (s *sim) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	for i := range simSteps {
		if i > 250 {
			s.settle = true
		}
		s.enabled()
		if len(s.events) == 0 {
			if s.settle {
				return s.atRest()
			}
			s.settle = true
			continue
		}
		e := s.events[s.r.IntN(len(s.events))]
		for range 5 {
			if (e.what == s.slow[0] || e.what == s.slow[1]) && !s.settle {
				e = s.events[s.r.IntN(len(s.events))]
			}
		}
		if s.log != nil {
			*s.log = append(*s.log, fmt.Sprintf("%4d %s %d", i, e.what, e.i))
		}
		s.step(e)
		s.seeDecisions()
		s.checkCounts()
		if s.bad != nil {
			return s.bad
		}
	}
	s.enabled()
	return fmt.Errorf("does not end: %d tickets, %d dirty, %d jobs, sweeping %v, held %v, possible: %v",
		len(s.l.tickets), s.l.DirtyKeys(), len(s.jobs), s.l.Sweeping(), s.held, s.events)
}

// logf records a detail of the current step.
func (s *sim) logf(format string, args ...any) {
	if s.log != nil {
		*s.log = append(*s.log, "       "+fmt.Sprintf(format, args...))
	}
}

// enabled lists the events that are possible now.
func (s *sim) enabled() {
	c, fresh := s.cfg, !s.settle
	s.events = s.events[:0]
	add := func(ok bool, what string, i int) {
		if ok {
			s.events = append(s.events, event{what, i})
		}
	}
	if s.enabledCrash(add) {
		return
	}
	for i, x := range s.sessions {
		add(fresh && s.writes < c.writes && x.waiting == nil && x.await == nil && s.t < 50, "write", i)
		add(x.told && !s.lanes[x.lane].down, "try again", i)
		add(fresh && c.cancels && x.waiting != nil && s.chance(.1), "cancel", i)
	}
	for i, x := range s.lanes {
		add(len(x.sent) > 0 && !x.down, "execute", i)
		add(len(x.replies) > 0, "reply", i)
		add(fresh && c.laneFaults && !x.down && s.chance(.04), "lane lost", i)
		add(len(x.zombies) > 0, "lane zombie", i)
		add(x.down && s.outage != sideOut(x.at), "lane up", i)
	}
	for i := range s.sinks {
		k := &s.sinks[i]
		add(len(k.sent) > 0 && !k.down, "land", i)
		add(len(k.landed) > 0, "ack", i)
		add(len(k.zombies) > 0, "sink zombie", i)
		add(fresh && c.sinkFaults && !k.down && (i == int(Secondary) || c.two) && s.chance(.08), "sink lost", i)
		add(k.down && s.outage != sideOut(i), "sink up", i)
	}
	s.enabledOutage(add)
	add(s.kept.wanted, "kept synced", 0)
	s.enabledFeeds(add)
	s.enabledBlocked(add)
	s.enabledEverywhere(add)
	add(fresh && c.forget && s.l.Sweeping() && s.chance(.1), "forget", 0)
	add(fresh && c.spurious && s.chance(.05), "spurious", 0)
	add(s.wake && len(s.jobs) < 3, "copy", 0)
	add(!s.wake && s.timer > 0, "timer", 0)
	for i, j := range s.jobs {
		out := s.outage == sideOut(j.from()) && j.state == reading
		add(j.state == reading && !out, "copy reads", i)
		add(j.state == read, "copy ends", i)
		add(out || fresh && (c.laneFaults || c.sinkFaults) && s.chance(.03), "copy fails", i)
	}
	add(s.sweepPossible(), "sweep", 0)
	add(c.cutover && fresh && !s.held && !s.l.Sweeping() && s.swaps < 3, "hold", 0)
	add(s.held && s.l.Drained() && !s.sinks[Secondary].down && (s.reportsRead() || s.no&flawReportsRead != 0), "swap roles", 0)
	add(s.held && (s.settle || s.chance(.1)), "undo", 0)
	add(c.expiry && s.t < 70, "tick", 0)
	if s.held && len(s.events) == 1 && s.events[0].what == "undo" && !s.l.Drained() {
		s.fail("a hold that nothing but giving up can end: %d dirty, %d jobs", s.l.DirtyKeys(), len(s.jobs))
	}
}

func (s *sim) step(e event) {
	switch e.what {
	case "write":
		s.sessions[e.i].write()
	case "try again":
		s.sessions[e.i].tryAgain()
	case "cancel":
		s.sessions[e.i].cancel()
	case "execute":
		s.execute(s.lanes[e.i])
	case "reply":
		s.reply(s.lanes[e.i])
	case "lane lost":
		s.laneLost(s.lanes[e.i])
	case "lane zombie":
		s.laneZombie(s.lanes[e.i])
	case "lane up":
		s.laneUp(s.lanes[e.i])
	case "land":
		s.sinks[e.i].land()
	case "ack":
		s.sinks[e.i].ack()
	case "sink zombie":
		s.sinks[e.i].zombie()
	case "sink lost":
		s.sinks[e.i].lost()
	case "sink up":
		s.sinks[e.i].up()
	case "outage":
		s.beginOutage(Side(e.i))
	case "decide":
		s.decideFor()
	case "outage over":
		s.endOutage()
	case "crash":
		s.crash()
	case "undead":
		s.undeadExecutes()
	case "restart":
		s.restart()
	case "turn intents":
		s.l.TurnIntents()
	case "checkpoint":
		s.takeCheckpoint()
	case "checkpoint saved":
		s.saveCheckpoint()
	case "kept synced":
		s.keptSynced()
	case "foreign":
		s.foreign()
	case "turn ends":
		s.endTurn()
	case "report":
		s.readFeed(s.lanes[e.i])
	case "round":
		s.beginRound()
	case "feed lost":
		s.feedLost(s.lanes[e.i])
	case "feed up":
		s.feedUp(s.lanes[e.i])
	case "block":
		s.block()
	case "block arrives":
		s.blockArrives(s.blocked[e.i])
	case "unblock":
		s.unblock(s.blocked[e.i])
	case "block reply":
		s.blockReply(s.blocked[e.i])
	case "block lost":
		s.blockLost(s.blocked[e.i])
	case "block dead":
		s.blockDead(s.blocked[e.i])
	case "bring":
		s.bring()
	case "forget":
		s.l.exact.remove(keyID(s.r.IntN(s.cfg.keys)).hash())
	case "spurious":
		k := keyID(s.r.IntN(s.cfg.keys))
		s.l.MakeDirty(&Key{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db())})
	case "copy":
		s.copy()
	case "timer":
		s.wall, s.timer, s.wake = s.wall.Add(s.timer), 0, true
	case "copy reads":
		s.jobs[e.i].read()
	case "copy ends":
		s.jobs[e.i].end()
	case "copy fails":
		s.jobs[e.i].failed()
	case "sweep":
		s.sweepStep()
	case "hold":
		s.held = true
		s.l.Hold()
		if s.chance(.5) {
			for _, x := range s.sessions {
				x.withdraw()
			}
		}
	case "undo":
		s.release(nil)
	case "swap roles":
		s.swapRoles()
	case "tick":
		s.t++
		s.wall = s.wall.Add(time.Millisecond)
	}
}

// swapRoles is the middle of a cutover or rollback.
func (s *sim) swapRoles() {
	if !s.cfg.expiry && (!s.equal() || s.libs[0] != s.libs[1]) {
		s.fail("roles swap while the instances differ: %v and %v", s.inst[0], s.inst[1])
		return
	}
	s.swaps++
	s.changeRoles()
	for _, x := range s.lanes {
		s.l.RemoveLane(x.id)
	}
	for _, x := range s.lanes {
		*x = simLane{id: s.l.AddLane(Primary)}
	}
	s.inRound = false
	s.startFeeds()
	s.l.SetSink(Secondary, &s.sinks[Secondary])
	s.l.KeptOnPrimary(s.prim == 1)
	s.release(func(w *Write) {
		if x, ok := w.Waiter.(*simWrite); ok {
			w.Lane = s.lanes[x.session.lane].id
		}
	})
}

func (s *sim) release(reroute func(w *Write)) {
	s.held = false
	s.l.Release(reroute)
	for _, x := range s.sessions {
		x.resubmit()
	}
}
