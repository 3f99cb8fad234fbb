package migration

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tandem/backfill"
	"tandem/internal/instance"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/proxy"
)

// link keeps a secondary equal to a primary: the effect lane, the copier that drains the dirty set, and the
// sweep that runs whenever one is owed.
type link struct {
	m                  *Migration
	primary, secondary *instance.Instance
	effects            *proxy.EffectLane
	copier             *backfill.Copier
	back               *way // the way from the secondary to the primary, in two-way
	changed            chan struct{}

	mu     sync.Mutex
	cancel context.CancelFunc // of the copying, nil while it does not run
	work   sync.WaitGroup

	// asked: whether the pair owes a sweep for fields that expire on one side alone.
	asked sync.Once

	// sweep is there once both instances have been reached: only then it is known how many databases there
	// are.
	sweep atomic.Pointer[backfill.Sweep]
}

func (m *Migration) newLink(primary, secondary *instance.Instance) *link {
	l := &link{m: m, primary: primary, secondary: secondary, changed: make(chan struct{}, 1)}
	l.effects = m.shard.NewEffectLane(secondary, m.factsOf(secondary))
	extend := int64(0)
	if primary == m.source {
		extend = m.cfg.Expiry.ExtendBy.Milliseconds()
	}
	l.copier = backfill.NewCopier(m.ledger, primary, secondary, backfill.CopierOptions{
		Name:         m.shard.ConnName("copier"),
		Throttle:     m.throttle,
		BigKeyBytes:  int64(m.cfg.BigKeyBytes),
		DumpBytes:    int64(m.cfg.DumpBytes),
		Shift:        m.shard.Shift,
		Extend:       extend,
		PrimaryClock: func() time.Duration { return m.factsOf(primary).ClockOffset },
		Fading:       m.hooks.fading,
		Longest:      l.effects.Longest,
		Log:          m.log,
	})
	if m.twoWay() {
		l.back = m.newWayBack()
	}
	return l
}

// newSweep makes the link's sweep, which walks through all databases of the instance that has more.
func (l *link) newSweep() *backfill.Sweep {
	m := l.m
	var back *backfill.Copier
	if l.back != nil {
		back = l.back.copier
	}
	s := backfill.NewSweep(m.ledger, l.copier, l.primary, l.secondary, backfill.SweepOptions{
		Back:      back,
		Name:      m.shard.ConnName("sweep"),
		Databases: m.databases(),
		Moves:     m.moves,
		ScanCount: m.cfg.Backfill.ScanCount,
		Last:      m.checkpoint(),
		Save:      m.saveCheckpoint,
		Log:       m.log,
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused {
		s.Pause()
	}
	l.sweep.Store(s)
	return s
}

// progress is that of the sweep that runs, or ran last.
func (l *link) progress() status.BackfillStatus {
	if s := l.sweep.Load(); s != nil {
		return s.Progress()
	}
	return status.New().Backfill
}

func (m *Migration) setLink(l *link) { m.linked.Store(l) }

// wake is called under the ledger's lock.
func (l *link) wake() {
	l.copier.Wake()
	if l.back != nil {
		l.back.copier.Wake()
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// start begins to copy: dirty keys, and whole keyspaces when a sweep is owed.
func (l *link) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(l.m.ctx)
	l.cancel = cancel
	l.setWorkers(l.m.throttle.Limits().Workers) // it may have been changed since the link was made
	l.work.Go(func() {
		if err := l.copier.Run(ctx); err != nil && ctx.Err() == nil {
			l.m.fail("the copier", err)
		}
	})
	if l.back != nil {
		l.work.Go(func() {
			if err := l.back.copier.Run(ctx); err != nil && ctx.Err() == nil {
				l.m.fail("the copier of the target's keys", err)
			}
		})
	}
	l.work.Go(func() { l.sweeps(ctx) })
}

// stop ends the copying and waits for it. Effects go on.
func (l *link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
		l.work.Wait()
		l.cancel = nil
	}
}

// sweeps runs a sweep whenever one is owed. None begins before both instances were reached: what connections
// of an earlier process still hold in the primary's buffers would be executed behind its reads.
func (l *link) sweeps(ctx context.Context) {
	if l.m.shard.Await(ctx, l.reached) != nil {
		return
	}
	sweep := l.sweep.Load()
	if sweep == nil {
		sweep = l.newSweep()
	}
	l.asked.Do(l.oweForFields)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for ctx.Err() == nil {
		l.m.ledger.Lock()
		gen, why, owed := l.m.ledger.SweepOwed()
		marked, only := l.m.ledger.FoundStripes()
		l.m.ledger.Unlock()
		if owed {
			l.m.log.Info("sweep begins", "why", why, "from", l.primary.String(), "to", l.secondary.String(),
				"marked_stripes", marked, "only_those", only)
			began := time.Now()
			l.m.noteSweepBegins(why, only, marked)
			err := sweep.Run(ctx, gen)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				l.m.log.Error("sweep failed; it is tried again", "from", l.primary.String(), "to", l.secondary.String(), "error", err)
				l.m.noteSweepFailed(err, only)
			default:
				p := sweep.Progress()
				l.m.log.Info("sweep done", "keys", p.KeysScanned, "copied", p.KeysCopied, "marked_stripes", marked,
					"only_those", only, "took", time.Since(began).Round(time.Millisecond))
				l.m.noteSweepDone(p, only)
				if whole := sweep.Began(); !only && !whole.IsZero() {
					l.m.compared(whole)
				}
				l.m.swept()
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-l.changed:
		case <-look.C:
		}
	}
}

// swept notes on disk that the instances were equal once.
func (m *Migration) swept() {
	m.mu.Lock()
	news := m.state.Phase == status.Backfill
	m.mu.Unlock()
	if !news {
		return
	}
	err := m.save(func(s *state.State) {
		if s.Phase == status.Backfill {
			s.Phase = status.Synced
		}
	})
	if err != nil {
		m.log.Error("the phase could not be written; a restart begins in backfill", "error", err)
	}
}

// stopLink ends the link for good.
func (m *Migration) stopLink() {
	if l := m.linked.Load(); l != nil {
		l.stop()
		l.stopEffects()
	}
}

// fail ends the process: something that must run does not.
func (m *Migration) fail(what string, err error) {
	m.log.Error(what+" failed", "error", err)
	select {
	case m.fatal <- err:
	default:
	}
}
