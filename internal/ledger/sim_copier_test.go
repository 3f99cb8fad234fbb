package ledger

import (
	"slices"
	"time"
)

// copyJob is one copy on its way: of a dirty key, or of a key that a sweep has found.
type copyJob struct {
	sim   *sim
	c     Copy
	key   keyID
	sweep bool
	owner *Write // a CopyRead's ticket
	state jobState

	gotTTL, gotValue bool
	ttl              int // what the read found: -2 missing, 0 none, else when it expires
	value            string
}

type jobState uint8

const (
	waiting jobState = iota // for the stripe
	reading
	read
)

// copy lets the copier take a dirty key.
func (s *sim) copy() {
	d, wait := s.nextDirty()
	if d == nil {
		s.wake, s.timer = false, wait
		return
	}
	j := &copyJob{sim: s, key: keyOf(&d.Key), c: Copy{Key: d.Key, Dirty: d}}
	s.logf("copy of key %d, dirty", j.key)
	if d.Races > 3 || s.chance(.3) || s.cfg.copyRead {
		j.owner = &Write{Kind: CopyRead, Lane: s.copierLanes[s.l.SideOf(d.Key.Hash)], Keys: []Key{d.Key}, Waiter: j}
		s.jobs = append(s.jobs, j)
		if s.l.Acquire(j.owner) {
			j.state = reading
		}
		return
	}
	if !s.l.BeginCopy(&j.c) {
		s.l.Retry(d, s.wall, s.pause())
		return
	}
	j.state = reading
	s.jobs = append(s.jobs, j)
}

// nextDirty takes the next dirty key, from the two sides in turn.
func (s *sim) nextDirty() (d *Dirty, wait time.Duration) {
	for range 3 {
		var w time.Duration
		if d, w = s.l.NextDirty(s.copierFrom, s.wall); s.cfg.two {
			s.copierFrom = s.copierFrom.Other()
		}
		if d != nil {
			return d, 0
		}
		if w > 0 && (wait == 0 || w < wait) {
			wait = w
		}
	}
	return nil, wait
}

// pause is how long the copier leaves a key alone.
func (s *sim) pause() time.Duration { return time.Duration(s.r.IntN(3)) * time.Millisecond }

func (j *copyJob) Granted(*Write) { j.state = reading }

// read asks for the TTL, and then for the value.
func (j *copyJob) read() {
	s := j.sim
	from := s.at(j.c.From)
	if j.owner != nil {
		from = s.at(s.l.lanes[j.owner.Lane].at)
	}
	if s.no&flawFrom != 0 {
		from = s.prim
	}
	e := s.inst[from].live(j.key, s.now(from))
	first, second := &j.gotTTL, &j.gotValue
	if s.no&flawReadOrder != 0 {
		first, second = second, first
	}
	now := first
	if *first {
		now = second
		j.state = read
	}
	*now = true
	if now == &j.gotValue {
		j.value = e.val
		return
	}
	j.ttl = e.exp
	if e.val == missing {
		j.ttl = -2
	}
}

func (j *copyJob) end() {
	s := j.sim
	st := State{Missing: j.value == missing, Payload: j.value}
	if j.ttl > 0 {
		st.ExpireAt = int64(j.ttl + s.correctionFrom(j.from()))
	}
	var r Result
	if j.owner != nil {
		r = s.l.EndCopyRead(j.owner, &j.c, &st)
	} else {
		r = s.l.EndCopy(&j.c, &st)
	}
	s.logf("copy of key %d: %q until %d, result %d", j.key, j.value, j.ttl, r)
	j.over(r)
}

// over gives the key back.
func (j *copyJob) over(r Result) {
	s := j.sim
	s.jobs = slices.DeleteFunc(s.jobs, func(x *copyJob) bool { return x == j })
	switch d := j.c.Dirty; {
	case d != nil && r == Won:
		s.l.Done(d)
	case d != nil:
		if r == Lost {
			d.Races++
		}
		s.l.Retry(d, s.wall, s.pause())
	case r != Won: // a sweep's
		s.l.MakeDirty(&j.c.Key)
	}
	if j.sweep {
		s.sweep.jobs--
		s.sweepWake = true
	}
}

// failed: the copier's connection broke.
func (j *copyJob) failed() {
	if j.owner != nil {
		if j.state == waiting {
			j.sim.l.Cancel(j.owner)
		} else {
			j.sim.l.Unanswered(j.owner)
		}
	}
	j.over(NotTaken)
}

// simSweep is the sweep that is running.
type simSweep struct {
	gen    uint64
	half   int // 0: the primary's keys, 1: the secondary's; -1: those of the primary that a crash has left marked
	from   int // where half 0 begins, then
	pos    int
	mark   uint64
	marked bool
	asked  bool // the key at pos is on the secondary: the primary is asked for it next
	jobs   int  // copies of its own
	// refused: its end was. A sweep that is owed anew may be noticed only then.
	refused bool
	unquiet bool // it has not begun: what was sent before is not acknowledged yet
}

// sweepPossible reports whether the sweep has something to do.
func (s *sim) sweepPossible() bool {
	if !s.l.Sweeping() {
		return false
	}
	w := &s.sweep
	gen, _, _ := s.l.SweepOwed()
	return gen != w.gen && !w.unquiet || w.pos < s.cfg.keys && !w.unquiet || s.sweepWake
}

func (s *sim) sweepStep() {
	w := &s.sweep
	// With clients at both, the first half would not see either what lands later.
	if w.unquiet {
		s.sweepWake = false
		if w.unquiet = !s.l.Quiet(w.mark); w.unquiet {
			return
		}
		w.marked = false
	}
	if gen, _, _ := s.l.SweepOwed(); gen != w.gen && (w.refused || w.gen == 0 || s.chance(.3)) {
		*w = simSweep{gen: gen, jobs: w.jobs, mark: s.l.Mark(), marked: s.chance(.5)}
		if c := s.disk.checkpoint; c.gen == gen {
			s.logf("sweep %d goes on at key %d", gen, c.pos)
			w.half, w.from, w.marked = -1, c.pos, false // a mark of before its copies would be too early
		}
		s.checkpoint = simCheckpoint{}
		if s.cfg.two && s.no&flawSweepQuiet == 0 {
			w.mark, w.unquiet = s.l.Mark(), true
			s.sweepWake = true
		}
		return
	}
	if w.pos < s.cfg.keys {
		s.visit(keyID(w.pos))
		s.sweepWake = true // what follows the last visit needs no other reason
		return
	}
	s.sweepWake = false
	switch {
	case w.jobs > 0:
	case w.half < 0:
		if !w.marked {
			w.mark, w.marked = s.l.Mark(), true
		}
		if s.l.Quiet(w.mark) {
			s.l.FoundSwept(w.gen)
			w.half, w.pos, w.marked = 0, w.from, false
			s.sweepWake = true
		}
	case w.half == 0 && s.no&flawSecondarySweep != 0:
		w.refused = !s.l.Swept(w.gen)
	case w.half == 0:
		if !w.marked {
			w.mark, w.marked = s.l.Mark(), true
		}
		if s.l.Quiet(w.mark) {
			w.half, w.pos = 1, 0
		}
	default:
		w.refused = !s.l.Swept(w.gen)
	}
}

// visit looks at one key of the half that is swept.
func (s *sim) visit(k keyID) {
	w := &s.sweep
	from := s.prim
	if w.half == 1 {
		from = s.secondary()
	}
	if w.half < 0 && !s.l.WasMarked(k.hash()) {
		w.pos++
		return
	}
	exists := func(i int) bool { return s.inst[i].live(k, s.now(i)).val != missing }
	switch {
	case w.half == 1 && w.asked:
		w.asked = false
		if exists(s.prim) || s.l.Known(k.hash()) {
			w.pos++
			return
		}
	case !exists(from) || s.l.Known(k.hash()):
		w.pos++
		return
	case w.half == 1:
		w.asked = true
		return
	}
	if len(s.jobs) >= 3 {
		return
	}
	j := &copyJob{sim: s, key: k, sweep: true, state: reading}
	j.c.Key = Key{Hash: k.hash(), Name: []byte(k.name()), DB: int32(k.db()), Write: true}
	s.logf("sweep finds key %d", k)
	if !s.l.BeginCopy(&j.c) {
		if s.chance(.5) {
			return // a little later
		}
		w.pos++
		s.l.MakeDirty(&j.c.Key)
		return
	}
	w.pos++
	w.jobs++
	s.jobs = append(s.jobs, j)
}
