package migration

import (
	"time"

	"tandem/internal/instance"
	"tandem/proxy"
)

// listenOn is how long the primary is listened to after the last stranger was seen: one that comes back, a job that runs
// every few minutes say, costs no sweep then.
const listenOn = 30 * time.Minute

// nearlyFull is the part of maxmemory, in percent, from which a server that evicts is taken to do so at any moment.
const nearlyFull = 90

// listening is how far the primary is asked to report what others change. Guarded by Migration.mu.
type listening struct {
	wanted bool
	since  time.Time // zero while it is not
	writes uint64    // by others, as reported and tallied
	unseen time.Time // when some were last reported and nobody was seen who could have written them
}

// want says whose changes of the primary's keys are to be reported.
func (m *Migration) want(s *strangers, now time.Time) proxy.Changes {
	recent := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < listenOn }
	switch {
	case m.cfg.Tracking == "off":
		return 0
	case s.unknown != "", s.written, s.present(now, m.cfg.TrackingQuiet), recent(s.evicting):
		return proxy.OfWriters
	case m.cfg.Tracking == "on", recent(s.used):
		return proxy.OfNewcomers
	}
	return 0
}

// listen has the primary report what others change, or no longer, as the last look at its clients demands; and when those
// who wrote are gone, has everything compared once more, for reports do not show everything (see proxy.Tracking).
func (m *Migration) listen(now time.Time) {
	defer m.ledger.Enter()()
	if m.linked.Load() == nil {
		m.track(0)
		return
	}
	m.listenTo(now)
	primary := m.shard.Answering()
	m.mu.Lock()
	s := &m.seen[primary.Role].strangers
	gone := s.written && !s.present(now, m.cfg.TrackingQuiet) && m.cfg.Tracking != "off"
	if gone {
		s.written = false
	}
	m.mu.Unlock()
	if gone {
		m.log.Info("those who wrote past Tandem are gone: all keys are compared once more", "instance", primary.String())
		m.ledger.OweAgain("others wrote to " + primary.String() + " past Tandem, and are gone") // a backfill does not begin anew
		m.ledger.OweEverywhere("others wrote to " + primary.String() + " past Tandem")
	}
}

// listenTo is that part of listen which concerns the present primary alone. Who is listened to as a writer stays that until
// listening has begun, for then a sweep is owed. The ledger's lock is held.
func (m *Migration) listenTo(now time.Time) {
	m.mu.Lock()
	want := m.want(&m.seen[m.shard.Answering().Role].strangers, now)
	m.mu.Unlock()
	if m.shard.Tracks(proxy.OfWriters) && want == proxy.OfNewcomers && !m.shard.Tracking().Listening {
		return
	}
	m.track(want)
}

// listenAnew begins with a primary that has just become one. What was done to it before was its clients' or is compared;
// only if somebody is there, or that cannot be told, something may be missed until listening begins. The ledger's lock is
// held.
func (m *Migration) listenAnew() {
	m.track(0)
	m.listenTo(time.Now())
}

// listenFirst begins with the primary of a process, or of a migration: nobody has listened before. The ledger's lock is
// held.
func (m *Migration) listenFirst() {
	if m.cfg.Tracking == "on" {
		m.track(proxy.OfWriters)
		return
	}
	m.listenTo(time.Now())
}

// track has these changes by others reported, and no other ones. The ledger's lock is held.
func (m *Migration) track(want proxy.Changes) {
	for _, c := range []proxy.Changes{want, (proxy.OfWriters | proxy.OfNewcomers) &^ want} { // in this order listening goes on
		if on := c == want; c != 0 && m.shard.Tracks(c) != on {
			m.shard.Track(c, on)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listening.wanted = want != 0; !m.listening.wanted {
		m.listening.since = time.Time{}
	} else if m.listening.since.IsZero() {
		m.listening.since = time.Now()
	}
}

// writesTally turns what the primary has reported into writes by others: expiries and evictions are reported in the same way,
// and only INFO tells how many there were.
type writesTally struct {
	runID    string // empty before the first look
	reported uint64
	evicted  int64
	gone     [2]int64 // expired and evicted, at the last look and at the one before
}

// add takes in a look, and returns how many writes are new: too few if anything. reported was read before the facts.
func (t *writesTally) add(f *instance.Facts, reported uint64) (writes uint64) {
	gone := f.Expired + f.Evicted
	if t.runID != f.RunID || gone < t.gone[0] {
		*t = writesTally{runID: f.RunID, reported: reported, evicted: f.Evicted, gone: [2]int64{gone, gone}}
		return 0
	}
	// A key that has expired may be reported one look later than it is counted, so those of two looks are taken off.
	if n := int64(reported-t.reported) - (gone - t.gone[1]); n > 0 {
		writes = uint64(n)
	}
	t.reported, t.evicted, t.gone = reported, f.Evicted, [2]int64{gone, t.gone[0]}
	return writes
}

// reportedChanges is how many keys the primary has reported so far that nothing of ours has changed.
func (m *Migration) reportedChanges() uint64 {
	m.ledger.Lock()
	defer m.ledger.Unlock()
	return m.shard.Tracking().Others
}

// tallyUp judges, by what a server says of itself, what it has reported until a moment before; and whether it evicts.
func (m *Migration) tallyUp(i *instance.Instance, f *instance.Facts, reported uint64) {
	m.ledger.Lock()
	defer m.ledger.Unlock() // for the primary to stay it
	primary := i == m.shard.Answering()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.seen[i.Role].strangers
	evicts := f.MaxMemory > 0 && f.MaxMemoryPolicy != "" && f.MaxMemoryPolicy != "noeviction"
	more := s.tally.runID == f.RunID && f.Evicted > s.tally.evicted
	if evicts && (more || f.UsedMemory >= f.MaxMemory/100*nearlyFull) {
		s.evicting = time.Now()
	}
	writes := s.tally.add(f, reported)
	if writes == 0 || !primary {
		return
	}
	m.listening.writes += writes
	if now := time.Now(); s.unknown != "" || now.Sub(s.used) < m.cfg.TrackingQuiet {
		m.sawWriters(s)
	} else {
		m.listening.unseen = now
	}
}
