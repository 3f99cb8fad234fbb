package migration

import (
	"context"
	"reflect"
	"slices"

	"tandem/config"
	"tandem/internal/hook"
	"tandem/internal/journal"
)

// live is the configuration with what has been changed of it while the process runs. A step asks it once for each setting, so
// none changes in the middle of a wait.
func (m *Migration) live() *config.Config { return m.settings.Load() }

// Adopt takes over those settings of a configuration that can change while the process runs, but for those of copying, which
// are Throttle's. It is called by one at a time.
func (m *Migration) Adopt(c *config.Config) {
	next := *m.live()
	before := next
	next.Adopt(c)
	m.settings.Store(&next)
	if !reflect.DeepEqual(before.Hooks, next.Hooks) {
		m.setHooks(next.Hooks)
	}
	if before.Clients != next.Clients {
		m.server.SetBounds(next.Clients.Max, int64(next.Clients.MemoryBytes))
		if m.two != nil {
			m.two.server.SetBounds(next.Clients.Max, int64(next.Clients.MemoryBytes))
		}
	}
	if before.Tracing.Share != next.Tracing.Share {
		m.shareTraces(next.Tracing.Share)
	}
}

// hooked is a hook, and what it was made of.
type hooked struct {
	*hook.Hook
	of config.Hook
}

// setHooks has other hooks told of events. Those that stay keep what they have not told yet; those that go have a moment for it.
func (m *Migration) setHooks(list []config.Hook) {
	c := &m.chronicle
	var before []hooked
	if old := c.hooks.Load(); old != nil {
		before = slices.Clone(*old)
	}
	var now []hooked
	for _, h := range list {
		if i := slices.IndexFunc(before, func(t hooked) bool { return reflect.DeepEqual(t.of, h) }); i >= 0 {
			now, before = append(now, before[i]), slices.Delete(before, i, i+1)
			continue
		}
		o := hook.Options{URL: h.URL.Reveal(), Secret: h.Secret, Command: h.Command, Timeout: h.Timeout, RetryFor: h.RetryFor}
		for _, on := range h.On {
			o.On = append(o.On, journal.Kind(on))
		}
		now = append(now, hooked{hook.Start(o, hook.Origin{ID: m.id, Source: m.source.Addr, Target: m.target.Addr}, m.log), h})
	}
	c.hooks.Store(&now)
	ctx, cancel := context.WithTimeout(context.Background(), hooksEnd)
	defer cancel()
	for _, h := range before {
		h.Stop(ctx)
	}
}
