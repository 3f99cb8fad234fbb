package migration

import (
	"cmp"
	"context"
	"time"

	"tandem/internal/instance"
	"tandem/internal/status"
)

const (
	// lookEvery is how often both servers are looked at: their clocks, and who else is connected.
	lookEvery = 5 * time.Second
	// lookAgain is the least time between two looks, whatever asks for one.
	lookAgain = 500 * time.Millisecond
	// minShift is the least difference of the clocks that is corrected.
	minShift = 100 * time.Millisecond
	// stallMargin is added to what an expiry must be away to be trusted: the servers' own time steps.
	stallMargin = 50 * time.Millisecond
)

// watch looks at both servers every few seconds.
func (m *Migration) watch() {
	tick := time.NewTicker(cmp.Or(m.hooks.lookEvery, lookEvery))
	defer tick.Stop()
	for {
		looked := time.Now()
		m.look(m.source)
		m.look(m.target)
		m.ledger.Lock()
		m.setClocks()
		m.ledger.Unlock()
		m.listen(time.Now())
		m.saveAgain()
		m.saveServers(false)
		m.lookAtUsersAgain()
		select {
		case <-m.ctx.Done():
			return
		case <-m.lookNow:
			if time.Since(looked) < lookAgain {
				select {
				case <-m.ctx.Done():
					return
				case <-time.After(lookAgain):
				}
			}
		case <-tick.C:
		}
	}
}

// lookSoon has both servers looked at now. It does not block.
func (m *Migration) lookSoon() {
	select {
	case m.lookNow <- struct{}{}:
	default:
	}
}

func (m *Migration) look(i *instance.Instance) {
	ctx, cancel := context.WithTimeout(m.ctx, lookEvery)
	defer cancel()
	m.showUp(ctx, i)
	reported := m.reportedChanges()
	facts, err := i.Facts(ctx)
	if err != nil {
		m.mu.Lock()
		m.seen[i.Role].up = false
		m.mu.Unlock()
		return
	}
	m.note(i, facts)
	m.tallyUp(i, &facts, reported)
	m.moved(i, facts)
	if m.served(i, facts.RunID) {
		m.ledger.Lock()
		m.stand(i, facts, false)
		m.ledger.Unlock()
		m.shrunk(i, m.movingKeys(i, &facts))
	}
	m.lookAtClients(ctx, i)
}

// showUp keeps one connection with our name open to a server, by which other processes see that the pair is
// taken even while there are no clients.
func (m *Migration) showUp(ctx context.Context, i *instance.Instance) {
	m.presence.Lock()
	defer m.presence.Unlock()
	if c := m.presence.conns[i.Role]; c != nil {
		if _, err := c.Do(ctx, "PING"); err == nil {
			return
		}
		_ = c.Close()
		delete(m.presence.conns, i.Role)
	}
	if c, err := i.Conn(ctx, m.shard.ConnName("presence"), 0); err == nil {
		m.presence.conns[i.Role] = c
	}
}

// leave closes those connections.
func (m *Migration) leave() {
	m.presence.Lock()
	defer m.presence.Unlock()
	for role, c := range m.presence.conns {
		_ = c.Close()
		delete(m.presence.conns, role)
	}
}

// seen is what is known of an instance.
type seen struct {
	up      bool // it answered when it was last asked
	facts   instance.Facts
	known   bool   // facts is filled
	foreign string // ids of other processes that are connected to it

	// served is what server the last lane has connected to, and how many keys it had when it was last asked:
	// what is settled is settled there.
	met    bool // a lane of this process has connected: until then served is what an earlier one knew
	served struct {
		known bool
		runID string
		keys  int64
	}
	standing  standing
	strangers strangers
}

// served reports whether the lanes to an instance are connected to the server with this run id.
func (m *Migration) served(i *instance.Instance, runID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[i.Role]
	return s.served.known && s.served.runID == runID
}

// note keeps what a server has said of itself.
func (m *Migration) note(i *instance.Instance, f instance.Facts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[i.Role]
	s.up, s.facts, s.known = true, f, true
	// Of another run id only a lane may take notice: it is the one that finds out that data may be lost.
	if s.met && s.served.runID == f.RunID {
		s.served.keys = m.movingKeys(i, &f)
	}
}

func (m *Migration) factsOf(i *instance.Instance) instance.Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[i.Role].facts
}

// databases is how many there are on the side that has more.
func (m *Migration) databases() int {
	return max(1, m.factsOf(m.source).Databases, m.factsOf(m.target).Databases)
}

// setClocks tells the shard how the servers' clocks differ. The ledger's lock is held.
func (m *Migration) setClocks() {
	primary := m.shard.Answering()
	m.mu.Lock()
	p, s := *m.seen[primary.Role], *m.seen[m.other(primary).Role]
	m.mu.Unlock()
	if !p.known || !s.known {
		return
	}
	apart := s.facts.ClockOffset - p.facts.ClockOffset
	margin := p.facts.ClockError + s.facts.ClockError
	shift := apart
	if m.cfg.ClockCorrection != "auto" || apart.Abs() < max(minShift, margin) {
		shift = 0
	}
	skew := apart.Abs() + margin + stallMargin
	m.shard.SetClock(p.facts.ClockOffset, shift, skew)
	if m.twoWay() {
		m.two.shard.SetClock(s.facts.ClockOffset, -shift, skew)
	}
}

// onConnect is told, under the ledger's lock, what server a lane has connected to. A server that is not the
// one it was, or holds much less than it held, may have lost data: the keyspaces must be compared.
func (m *Migration) onConnect(i *instance.Instance, f instance.Facts) {
	keys := m.movingKeys(i, &f)
	m.mu.Lock()
	s := m.seen[i.Role]
	s.up, s.facts, s.known = true, f, true
	was := s.served
	phase := m.state.Phase
	m.mu.Unlock()
	m.setClocks() // before the first effect between the two
	m.stand(i, f, was.known && was.runID != f.RunID)
	defer func() {
		// Behind what it has owed: the new run id may be on disk only when that is noted.
		m.mu.Lock()
		s.met = true
		s.served.known, s.served.runID, s.served.keys = true, f.RunID, keys
		m.mu.Unlock()
	}()
	if phase == status.Passthrough || phase == status.Finished || !was.known {
		return
	}
	switch {
	case was.runID != f.RunID:
		m.log.Warn("server was restarted or replaced: all keys are compared", "instance", i.String(),
			"run_id", f.RunID, "before", was.runID, "keys", keys)
		m.compareAgain(i, i.String()+" was restarted or replaced", int(keys), 2*keys < was.keys)
	case keys < was.keys/2:
		m.log.Warn("server holds fewer keys than before: all are compared", "instance", i.String(), "keys", keys, "before", was.keys)
		m.ledger.OweSweep(i.String()+" holds fewer keys than before", int(was.keys))
	}
}
