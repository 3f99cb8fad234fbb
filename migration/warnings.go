package migration

import (
	"fmt"
	"time"

	"tandem/internal/instance"
	"tandem/internal/status"
	"tandem/proxy"
	"tandem/router"
)

// writersTo are those who write to some of the instances past Tandem, as what stands in the way of a step that changes or
// ends roles.
func (m *Migration) writersTo(instances ...*instance.Instance) (blockers []status.Blocker) {
	if m.cfg.Tracking == "off" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, quiet := time.Now(), m.cfg.TrackingQuiet
	primary := m.primaryOf(m.state.Phase)
	for _, i := range instances {
		s := &m.seen[i.Role].strangers
		if !m.replicates() || !s.written {
			continue
		}
		var remedy string
		switch {
		case i == primary:
			remedy = fmt.Sprintf("point them at Tandem; when none has been seen for %s all keys are compared once more, and then it goes on", quiet)
		case s.present(now, quiet):
			remedy = fmt.Sprintf("point them at Tandem, or stop them; when none has been seen for %s, `tandem verify` lists what they changed", quiet)
		default:
			remedy = "`tandem verify` lists what they changed; `tandem verify --repair` overwrites it with what " + primary.String() + " holds"
		}
		blockers = append(blockers, status.Blocker{Code: foreignWriters, Message: s.writersText(i, now), Remedy: remedy + orRegardless(m.state.Phase)})
	}
	return blockers
}

// orRegardless is the other remedy for writers who will not go away.
func orRegardless(phase string) string {
	switch phase {
	case status.Reversed:
		return "; or go on regardless: rollback (what they wrote is kept then) or finish, with --force " + foreignWriters
	default:
		return "; or go on regardless: cutover --force " + foreignWriters
	}
}

// warnings lists what is not guaranteed at this moment.
func (m *Migration) warnings(tracking proxy.Tracking) []status.Blocker {
	warnings := []status.Blocker{}
	l := m.linked.Load()
	if l == nil {
		return warnings
	}
	primary := m.shard.Primary()
	fading, _, forgotten := l.copier.FieldExpiryLost()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	add := func(code, remedy, format string, args ...any) {
		warnings = append(warnings, status.Blocker{Code: code, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	for _, i := range []*instance.Instance{m.source, m.target} {
		s := &m.seen[i.Role].strangers
		switch {
		case s.unknown != "":
			add("clients_unknown", "let Tandem's user run CLIENT LIST and CLIENT SETNAME; else make sure yourself that nobody writes there past Tandem",
				"nobody can tell who else writes to %s: %s", i, s.unknown)
		case m.cfg.Tracking == "off" && s.present(now, m.cfg.TrackingQuiet):
			add(foreignWriters, "point them at Tandem, then run `tandem verify --repair`; or set tracking to auto", "%s; nothing is done about it (tracking: off)",
				s.writersText(i, now))
		}
	}
	if at := m.listening.unseen; m.listening.wanted && !at.IsZero() && now.Sub(at) < listenOn {
		add("foreign_writes_unseen", "see what else uses it, a job that runs every few minutes say (MONITOR, for a moment), before roles change",
			"writes past Tandem were reported by %s %s ago, of a connection that was gone before it was seen; they were copied", primary,
			now.Sub(at).Round(time.Second))
	}
	if m.listening.wanted && !tracking.Listening && (tracking.Problem != "" || now.Sub(m.listening.since) > listenWithin) {
		problem := tracking.Problem
		if problem == "" {
			problem = "no connection to it reports anything"
		}
		add("tracking_unavailable", "let those in whose names Tandem's connections are run CLIENT ID, CLIENT TRACKING and SUBSCRIBE; "+
			"else what others write past Tandem is on the other server only after the next sweep, or `tandem verify --repair`",
			"what others change on %s is not reported to Tandem: %s", primary, problem)
	}
	if forgotten {
		add("field_expiry_forgotten", "`tandem verify --repair` removes the fields that have expired until then; when fewer hashes are left, all keys "+
			"are compared once by themselves", "more than %d hashes have fields that expire on %s and not on the other server; of the rest they stay there when they have expired",
			fading, primary)
	}
	return warnings
}

// listenWithin is how long it may take until the primary reports, before that is said.
const listenWithin = 10 * time.Second

// trackingStatus is what is known of those who go past Tandem.
func (m *Migration) trackingStatus(tracking proxy.Tracking) status.TrackingStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := status.TrackingStatus{State: status.Idle, Connections: []status.ForeignConnection{}}
	switch {
	case tracking.Listening && m.listening.wanted:
		t.State = status.Running
	case m.listening.wanted && (tracking.Problem != "" || time.Since(m.listening.since) > listenWithin):
		t.State = status.Failed
	case m.listening.wanted:
		t.State = status.Running
	}
	if m.listening.wanted || m.listening.writes > 0 {
		t.ForeignWrites = status.Known(int64(m.listening.writes))
	}
	if m.listening.wanted {
		t.Since = status.Known(m.listening.since.UnixMilli())
	}
	t.ForeignFlushes = int64(tracking.Emptyings)
	for _, i := range []*instance.Instance{m.source, m.target} {
		s := &m.seen[i.Role].strangers
		t.Writers += int64(s.writers)
		t.Readers += int64(s.readers)
		for _, x := range s.shown {
			t.Connections = append(t.Connections, status.ForeignConnection{
				Instance: string(i.Role), Addr: x.Addr, Name: x.Name, User: x.User, DB: x.DB, Command: x.Command,
				Writes: x.use == router.UsesWrites, IdleS: int64(x.Idle / time.Second),
			})
		}
	}
	return t
}
