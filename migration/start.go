package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/state"
	"tandem/internal/status"
)

// retryStart is the pause before a start that found a server out of reach is tried again.
const retryStart = 5 * time.Second

// claimPair makes sure that no other process works on this pair: connections of an id that is not ours, on
// either server. It shows itself first, so of two that start at the same moment at least one sees the other.
// A server that cannot be reached is looked at later (see watch).
func (m *Migration) claimPair(ctx context.Context) error {
	for _, i := range []*instance.Instance{m.source, m.target} {
		m.showUp(ctx, i)
	}
	for _, i := range []*instance.Instance{m.source, m.target} {
		look, cancel := context.WithTimeout(ctx, 5*time.Second)
		others, err := i.Others(look, m.id)
		cancel()
		if err != nil {
			if errors.Is(err, instance.ErrCommandRefused) || errors.Is(err, instance.ErrCredentials) ||
				errors.Is(err, instance.ErrUnreachable) || errors.Is(err, instance.ErrNoAnswer) || look.Err() != nil {
				m.log.Warn("cannot tell whether another tandem works on this server", "instance", i.String(), "error", err)
				continue
			}
			return err
		}
		if len(others) == 0 {
			continue
		}
		if !m.cfg.Takeover {
			return fmt.Errorf("%w: id %s on %s: stop it, or start with --takeover if it is dead and only its "+
				"connections are left", ErrPair, strings.Join(others, ", "), i)
		}
		killed, err := i.EnsureDead(ctx, func(name string) bool {
			id, _, _, ok := instance.ParseConnName(name)
			return ok && id != m.id
		}, m.cfg.Secondary.Settle)
		if err != nil {
			return err
		}
		m.log.Warn("took over from another process", "instance", i.String(), "ids", others, "connections_killed", killed)
	}
	return nil
}

// autoStart starts the backfill of a new migration. Servers that are out of reach are waited for; any other
// refusal stays until somebody has mended it and says start.
func (m *Migration) autoStart() {
	for m.ctx.Err() == nil {
		_, err := m.Start(m.ctx, admin.StepOptions{})
		if err == nil || m.ctx.Err() != nil {
			return
		}
		var refused *admin.Refused
		if !errors.As(err, &refused) {
			m.log.Warn("the backfill was not started", "error", err)
		} else if m.log.Warn("the backfill was not started", "error", err, "why", saidShortly(refused.Blockers)); !outOfReach(refused.Blockers) {
			return
		}
		select {
		case <-m.ctx.Done():
		case <-time.After(retryStart):
		}
	}
}

// saidShortly is what stands in the way, for a line of the log.
func saidShortly(blockers []status.Blocker) string {
	var all []string
	for _, b := range blockers {
		all = append(all, b.Code+": "+b.Message)
	}
	return strings.Join(all, "; ")
}

func outOfReach(blockers []status.Blocker) bool {
	for _, b := range blockers {
		if strings.HasSuffix(b.Code, "_reachable") || strings.HasSuffix(b.Code, "_info") {
			return true
		}
	}
	return false
}

// Start checks both servers and starts the backfill. (admin.Controller)
func (m *Migration) Start(ctx context.Context, o admin.StepOptions) (id string, err error) {
	if err := m.beginStep(); err != nil {
		return "", err
	}
	defer m.step.Unlock()
	if m.phase() != status.Passthrough {
		return "", nil
	}
	defer m.noteStep("start", status.Passthrough, o, &admin.Result{Phase: status.Backfill}, &err)
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(m.draining, end)()
	d, err := m.precheck(ctx, o)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			d.discard(m)
		}
	}()
	facts, err := m.source.Facts(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", admin.ErrPrimaryDown, err)
	}
	targetFacts, err := m.target.Facts(ctx)
	if err != nil {
		return "", err
	}
	m.note(m.source, facts)
	m.note(m.target, targetFacts)
	m.lookForWriters(ctx)
	if err = m.begin(ctx, facts, d); err != nil {
		return "", err
	}
	m.mu.Lock()
	m.blockers = nil
	m.mu.Unlock()
	m.log.Info("backfill started", "keys", m.movingKeys(m.source, &facts))
	return "sweep-1", nil
}

// begin makes writes go through the ledger. Commands are held for the moment in which that changes, for a
// write whose sending the ledger has not seen could overtake a later one.
func (m *Migration) begin(ctx context.Context, facts instance.Facts, d *decided) error {
	l := m.newLink(m.source, m.target)
	l.startEffects()
	ctx, cancel := m.stepContext(ctx)
	defer cancel()
	undo := func(why string, err error) error {
		l.stopEffects()
		if err == nil {
			return fmt.Errorf("%w: %s", admin.ErrUndone, why)
		}
		return fmt.Errorf("%w: %s: %w", admin.ErrUndone, why, err)
	}
	if err := m.shard.Await(ctx, l.reached); err != nil {
		return undo("not connected to both servers: "+l.effects.Problem(), err)
	}
	hold, done := context.WithTimeout(ctx, m.live().Cutover.MaxPause)
	defer done()
	m.shard.Hold()
	defer m.shard.Release()
	if err := m.shard.Await(hold, m.shard.Answered); err != nil {
		return undo("commands in flight were not answered in cutover.max_pause", err)
	}
	// On disk before the first write that goes to both: a restart must know of them.
	if err := m.save(func(s *state.State) {
		s.Phase, s.Duplicates, s.Moves = status.Backfill, d.forState(), canonicalMoves(m.cfg)
	}); err != nil {
		return undo("the new phase could not be written", err)
	}
	func() {
		defer m.ledger.Enter()()
		m.setKept(d.list, false)
		m.ledger.OweSweep("the migration begins", int(m.movingKeys(m.source, &facts)))
		l.replicate()
		m.setClocks()
		m.listenFirst()
	}()
	m.setLink(l)
	l.start()
	return nil
}

func setPhase(p string) func(*state.State) { return func(s *state.State) { s.Phase = p } }

// Pause stops the sweep, not the effects. (admin.Controller)
func (m *Migration) Pause(context.Context, admin.StepOptions) error { return m.setPaused(true) }

// Resume lets it go on. (admin.Controller)
func (m *Migration) Resume(context.Context, admin.StepOptions) error { return m.setPaused(false) }

func (m *Migration) setPaused(paused bool) error {
	l := m.linked.Load()
	if l == nil {
		return &admin.Refused{Message: "no backfill has been started", Blockers: []status.Blocker{{
			Code: "not_started", Message: "the phase is " + m.phase(), Remedy: "start it first"}}}
	}
	m.mu.Lock()
	m.paused = paused
	if s := l.sweep.Load(); s == nil {
		// It will look at m.paused.
	} else if paused {
		s.Pause()
	} else {
		s.Resume()
	}
	m.mu.Unlock()
	// Who has paused it does not want a restart to begin with a sweep. If this cannot be written, status says so.
	_ = m.save(func(s *state.State) { s.Paused = paused })
	return nil
}
