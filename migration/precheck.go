package migration

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/moves"
	"tandem/internal/precheck"
	"tandem/internal/status"
)

// PrecheckOptions are those of a precheck before a migration that is configured so.
func PrecheckOptions(cfg *config.Config) precheck.Options {
	o := precheck.Options{
		OwnUsers: cfg.Auth.Mode != "server",
		StateDir: cfg.StateDir,
		Pace:     paceOf(cfg.Backfill),
		Moves:    moves.New(cfg.Moves()),
		KeepIdle: asksAge(cfg),
	}
	for _, name := range cfg.Precheck.Accept {
		o.Accept = append(o.Accept, string(name))
	}
	return o
}

// paceOf is how fast a backfill may be.
func paceOf(b config.Backfill) precheck.Pace {
	p := precheck.Pace{KeysPerS: b.MaxKeysPerS, BytesPerS: int64(b.MaxBytesPerS)}
	if s, err := b.Schedule(); err == nil && len(b.Windows) > 0 {
		p.Window = func(at time.Time) (open bool, keysPerS int, bytesPerS int64, until time.Time) {
			i, until := s.At(at)
			if i < 0 {
				return false, 0, 0, until
			}
			return true, b.Windows[i].MaxKeysPerS, int64(b.Windows[i].MaxBytesPerS), until
		}
	}
	return p
}

// targetEmpty is the item of the target's keys. Forced, it has what would be refused overwritten or removed.
const targetEmpty = "target_empty"

// precheck refuses a start for what failed, and with precheck.warnings: refuse for warnings that nobody has accepted. It
// returns what was decided about the target's keys, which the caller begins with or discards.
func (m *Migration) precheck(ctx context.Context, o admin.StepOptions) (d *decided, err error) {
	d = &decided{}
	defer func() {
		if err != nil {
			d.discard(m)
		}
	}()
	for _, name := range o.Accept {
		if !precheck.Known(name) {
			return d, &admin.Refused{Message: fmt.Sprintf("%q is no item of the precheck", name)}
		}
	}
	options := PrecheckOptions(m.cfg)
	options.Accept = append(options.Accept, o.Accept...)
	options.Duplicates = func(ctx context.Context) (*precheck.Duplicates, error) {
		made, err := m.decide(ctx, o.Force == targetEmpty)
		if err != nil {
			return nil, err
		}
		d = made
		return &d.Duplicates, nil
	}
	report, err := precheck.Run(ctx, m.source, m.target, options)
	if err != nil {
		return d, err
	}
	m.noteChecked(report)
	refused := &admin.Refused{Message: "the precheck failed"}
	for _, i := range report.Items {
		if i.Status == precheck.Failed && i.Name != o.Force {
			refused.Blockers = append(refused.Blockers, status.Blocker{Code: i.Name, Message: i.Found, Remedy: i.Remedy})
		}
	}
	warnings := slices.DeleteFunc(report.Unaccepted(), func(i precheck.Item) bool { return i.Name == o.Force })
	if len(refused.Blockers) == 0 && m.cfg.Precheck.Warnings == "refuse" {
		refused.Message = "the precheck has warnings that nobody has accepted"
		for _, i := range warnings {
			refused.Blockers = append(refused.Blockers, status.Blocker{Code: i.Name, Message: i.Found,
				Remedy: i.Remedy + "; or accept it: tandem start --accept " + i.Name})
		}
	}
	m.mu.Lock()
	m.blockers = refused.Blockers
	m.mu.Unlock()
	if len(refused.Blockers) > 0 {
		return d, refused
	}
	for _, i := range warnings {
		m.log.Warn("the precheck warns", "item", i.Name, "found", i.Found)
	}
	return d, nil
}
