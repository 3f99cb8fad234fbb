package migration

import (
	"context"
	"sync"
	"time"

	"tandem/backfill"
	"tandem/internal/instance"
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
	sweep              *backfill.Sweep
	changed            chan struct{}

	mu     sync.Mutex
	cancel context.CancelFunc // of the copying, nil while it does not run
	work   sync.WaitGroup
}

func (m *Migration) newLink(primary, secondary *instance.Instance) *link {
	l := &link{m: m, primary: primary, secondary: secondary, changed: make(chan struct{}, 1)}
	l.effects = m.shard.NewEffectLane(secondary, m.factsOf(secondary))
	name := func(what string) string { return m.shard.ConnName(what) }
	shift := func() int64 { return m.shard.Shift() }
	l.copier = backfill.NewCopier(m.ledger, primary, backfill.CopierOptions{
		Name:        name("copier"),
		Workers:     m.cfg.Backfill.Workers,
		WindowBytes: int64(m.cfg.Backfill.WindowBytes),
		BigKeyBytes: int64(m.cfg.BigKeyBytes),
		Shift:       shift,
		Log:         m.log,
	})
	l.sweep = backfill.NewSweep(m.ledger, l.copier, primary, secondary, backfill.SweepOptions{
		Name:      name("sweep"),
		Databases: m.databases(),
		ScanCount: m.cfg.Backfill.ScanCount,
		Workers:   m.cfg.Backfill.Workers,
		KeysPerS:  m.cfg.Backfill.MaxKeysPerS,
		Log:       m.log,
	})
	return l
}

func (m *Migration) setLink(l *link) { m.linked.Store(l) }

// wake is called under the ledger's lock.
func (l *link) wake() {
	l.copier.Wake()
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
	l.work.Go(func() {
		if err := l.copier.Run(ctx); err != nil && ctx.Err() == nil {
			l.m.fail("the copier", err)
		}
	})
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

// sweeps runs a sweep whenever one is owed.
func (l *link) sweeps(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for ctx.Err() == nil {
		l.m.ledger.Lock()
		gen, why, owed := l.m.ledger.SweepOwed()
		l.m.ledger.Unlock()
		if owed {
			l.m.log.Info("sweep begins", "why", why, "from", l.primary.String(), "to", l.secondary.String())
			began := time.Now()
			err := l.sweep.Run(ctx, gen)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				l.m.log.Error("sweep failed", "error", err)
			default:
				p := l.sweep.Progress()
				l.m.log.Info("sweep done", "keys", p.KeysScanned, "copied", p.KeysCopied, "took", time.Since(began).Round(time.Millisecond))
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
	phase := m.phase()
	if phase != status.Synced {
		return
	}
	m.mu.Lock()
	known := m.state.Phase == phase
	m.mu.Unlock()
	if known {
		return
	}
	if err := m.save(setPhase(phase)); err != nil {
		m.log.Error("the state could not be written", "error", err)
	}
}

// stopLink ends the link for good.
func (m *Migration) stopLink() {
	if l := m.linked.Load(); l != nil {
		l.stop()
		l.effects.Stop()
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
