package migration

import (
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// That there are more hashes with fields that expire on one server alone than are remembered is said, until there is room again.
func TestMoreFieldsThatExpireThanAreRemembered(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	w := newWorld(t, redisd.Options{Binary: servers[0].Path}, redisd.Options{Binary: servers[1].Path}, nil)
	source := w.conn(w.source.Addr, 0)
	for _, key := range []string{"a", "b", "c"} {
		w.do(source, "HSET", key, "soon", "1", "never", "2")
		w.do(source, "HPEXPIRE", key, "3600000", "FIELDS", "1", "soon")
	}
	w.prepare()
	w.hooks.fading = 2
	w.begin()
	w.synced()
	w.until("the warning", func(s status.Status) bool { return hasCode(s.Warnings, "field_expiry_forgotten") })
	client := w.conn("", 0)
	for _, key := range []string{"a", "b", "c"} {
		w.do(client, "HPEXPIRE", key, "1", "FIELDS", "1", "soon")
	}
	w.until("no warning", func(s status.Status) bool { return !hasCode(s.Warnings, "field_expiry_forgotten") })
}
