package migration

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/intent"
	"tandem/internal/ledger"
	"tandem/internal/state"
	"tandem/internal/status"
)

// intentsFile is the name of the intent map in the state directory.
const intentsFile = "intents"

// turnEvery is how often a generation of the intent map may end: after a crash as much is copied again as was written in
// two of them. A turn costs some microseconds under the ledger's lock.
const turnEvery = time.Second

// hasherOf is the hasher of a state directory.
func hasherOf(s state.Secret) ledger.Hasher {
	return ledger.Hasher{K0: binary.LittleEndian.Uint64(s[:8]), K1: binary.LittleEndian.Uint64(s[8:])}
}

// openIntents opens the intent map. What cannot be believed of it means that everything is in doubt.
func (m *Migration) openIntents(h ledger.Hasher) (*intent.Map, error) {
	intents, err := intent.Open(m.dir.File(intentsFile), intent.Options{
		ID: m.id, Check: h.Sum(0, []byte("intents")).Hi, Stripes: ledger.Stripes,
	})
	if err != nil {
		return nil, err
	}
	if found := intents.Found(); found.Why != "" && m.replicates() {
		m.log.Warn("the intent map tells nothing: all keys are compared", "file", m.dir.File(intentsFile), "why", found.Why)
	}
	return intents, nil
}

// replicates reports whether the phase is one in which writes go to both.
func (m *Migration) replicates() bool {
	return slices.Contains([]string{status.Backfill, status.Synced, status.TwoWay, status.Reversed}, m.state.Phase)
}

// resume takes up the phase of an earlier process, and what that had not settled. Nothing has been sent yet, and nothing
// is before old connections are known dead.
func (m *Migration) resume() {
	if !m.replicates() {
		return
	}
	primary := m.primaryOf(m.state.Phase)
	l := m.newLink(primary, m.other(primary))
	m.ledger.Lock()
	m.setKept(m.kept, primary == m.target)
	r := m.ledger.Resume()
	l.replicate()
	// If an earlier process listened to writers past the proxy, the map says so: all keys are in doubt.
	m.listenFirst()
	m.ledger.Unlock()
	crashpoint.Reach(crashpoint.Resumed)
	m.mu.Lock()
	m.resumed = r
	m.mu.Unlock()
	switch {
	case r.Sweep && !r.GoesOn:
		m.log.Info("resuming: all keys are compared", "why", r.Why)
	case r.Why == "":
		m.log.Info("resuming: nothing was left unsettled")
	default:
		m.log.Info("resuming: keys in marked stripes are copied", "marked_stripes", r.Stripes, "of", ledger.Stripes,
			"sweep_owed", r.Sweep, "why", r.Why)
	}
	m.setLink(l)
	l.startEffects()
	l.start()
	if r.Why == "" {
		m.swept() // in case the last process ended before it could say so
	}
}

// remember makes the servers of an earlier process those that were seen last: another run id, or many keys less, and
// data may be lost.
func (m *Migration) remember(st *state.State) {
	for _, x := range []struct {
		role                 instance.Role
		runID, replicationID string
		keys                 int64
		written              bool
	}{
		{instance.Source, st.SourceRunID, st.SourceReplicationID, st.SourceKeys, st.SourceWritten},
		{instance.Target, st.TargetRunID, st.TargetReplicationID, st.TargetKeys, st.TargetWritten},
	} {
		s := &m.seen[x.role].served
		s.known, s.runID, s.keys = x.runID != "", x.runID, x.keys
		m.seen[x.role].standing.remember(x.replicationID)
		if x.written {
			// Who wrote may be there still.
			others := &m.seen[x.role].strangers
			others.written, others.wrote, others.used = true, m.began, m.began
		}
	}
}

// describe notes in a state which servers it speaks of. m.mu is held.
func (m *Migration) describe(s *state.State) {
	if v := m.seen[instance.Source].served; v.known {
		s.SourceRunID, s.SourceKeys = v.runID, v.keys
		s.SourceReplicationID = m.seen[instance.Source].standing.id
	}
	if v := m.seen[instance.Target].served; v.known {
		s.TargetRunID, s.TargetKeys = v.runID, v.keys
		s.TargetReplicationID = m.seen[instance.Target].standing.id
	}
	s.SourceWritten, s.TargetWritten = m.seen[instance.Source].strangers.written, m.seen[instance.Target].strangers.written
}

// saveServers notes on disk which servers there are, when that is news: another process, other data (by their
// replication), or keys become many more or fewer than were noted; and whether others write there. At the end, whatever
// has changed.
func (m *Migration) saveServers(end bool) {
	m.mu.Lock()
	was, is := m.state, m.state
	m.describe(&is)
	replicates := m.replicates()
	m.mu.Unlock()
	far := func(a, b int64) bool { return a > 2*b+1000 || b > 2*a+1000 || end && a != b }
	if !replicates || was.SourceRunID == is.SourceRunID && was.TargetRunID == is.TargetRunID &&
		was.SourceReplicationID == is.SourceReplicationID && was.TargetReplicationID == is.TargetReplicationID &&
		was.SourceWritten == is.SourceWritten && was.TargetWritten == is.TargetWritten &&
		!far(was.SourceKeys, is.SourceKeys) && !far(was.TargetKeys, is.TargetKeys) {
		return
	}
	_ = m.save(func(*state.State) {}) // it says itself that it failed; a restart compares all keys then
}

// checkpoint is the one that was last written.
func (m *Migration) checkpoint() state.Checkpoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Checkpoint
}

// saveCheckpoint keeps how far a sweep has come.
func (m *Migration) saveCheckpoint(c state.Checkpoint) error {
	return m.save(func(s *state.State) { s.Checkpoint = c })
}

// turnIntents clears what has settled from the intent map, every so often.
func (m *Migration) turnIntents() {
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.intents.Look(); err != nil {
			m.fail("the intent map", err) // before a store meets what is missing
			return
		}
		if err := m.lookAtKept(); err != nil {
			m.fail("the list of kept keys", err)
			return
		}
		m.ledger.Lock()
		m.ledger.TurnIntents()
		m.ledger.Unlock()
	}
}

// closeIntents brings the intent map to disk when nothing runs any more: what has settled is not marked in it, so that
// after a drain the next process has nothing to do.
func (m *Migration) closeIntents() error {
	if err := m.intents.Look(); err != nil {
		_ = m.intents.Close()
		return nil // it has been said, or says it itself when it is opened
	}
	m.ledger.Lock()
	for range 2 {
		m.ledger.TurnIntents()
	}
	n, all := m.ledger.MarkedStripes()
	m.ledger.Unlock()
	m.mu.Lock()
	replicates := m.replicates()
	m.mu.Unlock()
	if replicates {
		m.saveServers(true)
		m.log.Info("ended", "marked_stripes", n, "sweep_owed", all)
	}
	if err := m.intents.Close(); err != nil {
		return fmt.Errorf("close the intent map: %w", err)
	}
	return nil
}
