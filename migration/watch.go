package migration

import (
	"context"
	"time"

	"tandem/internal/instance"
	"tandem/internal/status"
)

const (
	// lookEvery is how often both servers are looked at: their clocks, and who else is connected.
	lookEvery = 5 * time.Second
	// minShift is the least difference of the clocks that is corrected.
	minShift = 100 * time.Millisecond
	// stallMargin is added to what an expiry must be away to be trusted: the servers' own time steps.
	stallMargin = 50 * time.Millisecond
)

// watch looks at both servers every few seconds.
func (m *Migration) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		m.look(m.source)
		m.look(m.target)
		m.setClocks()
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Migration) look(i *instance.Instance) {
	ctx, cancel := context.WithTimeout(m.ctx, lookEvery)
	defer cancel()
	m.showUp(ctx, i)
	facts, err := i.Facts(ctx)
	if err != nil {
		m.mu.Lock()
		m.seen[i.Role].up = false
		m.mu.Unlock()
		return
	}
	m.note(i, facts)
	others, err := i.Others(ctx, m.state.ID)
	foreign := ""
	if err == nil && len(others) > 0 {
		foreign = others[0]
	}
	m.mu.Lock()
	if foreign != "" && m.foreign == "" {
		m.log.Error("another tandem process is connected to this pair of servers", "instance", i.String(), "id", foreign)
	}
	if err == nil && (foreign != "" || i == m.target) {
		m.foreign = foreign
	}
	m.mu.Unlock()
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

// note keeps what a server has said of itself.
func (m *Migration) note(i *instance.Instance, f instance.Facts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[i.Role]
	s.up, s.facts = true, f
	s.offset, s.margin, s.known = f.ClockOffset, f.ClockError, true
}

func (m *Migration) factsOf(i *instance.Instance) instance.Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[i.Role].facts
}

// databases is how many are migrated: those of the source, and at least 1.
func (m *Migration) databases() int {
	if n := m.factsOf(m.source).Databases; n > 0 {
		return n
	}
	return 16
}

// setClocks tells the shard how the servers' clocks differ.
func (m *Migration) setClocks() {
	primary := m.shard.Primary()
	m.mu.Lock()
	p, s := *m.seen[primary.Role], *m.seen[m.other(primary).Role]
	m.mu.Unlock()
	if !p.known || !s.known {
		return
	}
	apart, margin := s.offset-p.offset, p.margin+s.margin
	shift := apart
	if m.cfg.ClockCorrection != "auto" || apart.Abs() < max(minShift, margin) {
		shift = 0
	}
	m.shard.SetClock(p.offset, shift, apart.Abs()+margin+stallMargin)
}

// onConnect is told, under the ledger's lock, what server a lane has connected to. A server that is not the
// one it was, or holds much less than it held, may have lost data: the keyspaces must be compared.
func (m *Migration) onConnect(i *instance.Instance, f instance.Facts) {
	m.mu.Lock()
	was := m.seen[i.Role].facts
	s := m.seen[i.Role]
	s.up, s.facts = true, f
	phase := m.state.Phase
	m.mu.Unlock()
	if phase == status.Passthrough || phase == status.Finished || was.RunID == "" {
		return
	}
	switch {
	case was.RunID != f.RunID:
		m.log.Warn("server was restarted", "instance", i.String(), "run_id", f.RunID)
		m.ledger.OweSweep(i.String()+" was restarted or replaced", int(f.KeysTotal()))
	case f.KeysTotal() < was.KeysTotal()/2:
		m.log.Warn("server holds fewer keys than before", "instance", i.String(), "keys", f.KeysTotal(), "before", was.KeysTotal())
		m.ledger.OweSweep(i.String()+" holds fewer keys than before", int(was.KeysTotal()))
	}
}
