package migration

import (
	"context"
	"time"

	"tandem/internal/admin"
	"tandem/internal/precheck"
	"tandem/internal/status"
)

// Precheck makes the precheck of a start without starting anything. (admin.Controller)
func (m *Migration) Precheck(ctx context.Context) (status.Precheck, error) {
	if err := m.beginStep(); err != nil {
		return status.Precheck{}, err
	}
	defer m.step.Unlock()
	if phase := m.phase(); phase != status.Passthrough {
		// The scratch keys that it writes would be writes past the proxy.
		return status.Precheck{}, &admin.Refused{Message: "the migration has begun: a precheck is made before that",
			Blockers: []status.Blocker{{Code: "started", Message: "the phase is " + phase, Remedy: "see the status and verify"}}}
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(m.draining, end)()
	options := PrecheckOptions(m.cfg)
	options.Duplicates = LookAtDuplicates(m.cfg, m.source, m.target, m.log)
	report, err := precheck.Run(ctx, m.source, m.target, options)
	if err != nil {
		return status.Precheck{}, err
	}
	m.noteChecked(report)
	return m.Checked(), nil
}

// Checked is the last precheck of this process. (admin.Controller)
func (m *Migration) Checked() status.Precheck {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.checked.Items == nil {
		return status.Precheck{Items: []status.PrecheckItem{}}
	}
	return m.checked
}

// noteChecked keeps a report, which nobody changes any more.
func (m *Migration) noteChecked(r *precheck.Report) {
	c := status.Precheck{At: status.Known(time.Now().UnixMilli()), Result: r.Result, Items: make([]status.PrecheckItem, 0, len(r.Items))}
	for _, i := range r.Items {
		c.Items = append(c.Items, status.PrecheckItem(i))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checked = c
}
