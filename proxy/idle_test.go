package proxy

import (
	"fmt"
	"testing"
	"time"

	"tandem/internal/redisd"
)

// laneCount is how many shared lanes there are.
func (h *house) laneCount() (n int) {
	for _, ls := range h.shard.primary.lanes {
		ls.each(func(*lane) { n++ })
	}
	return n
}

// TestIdleLanesAreClosed with their feeds, so that nothing which others do is missed, and nothing owed for it; and
// clients who go on after that notice nothing.
func TestIdleLanesAreClosed(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfWriters, func(o *Options, _ *ServerOptions) { o.laneIdle = 200 * time.Millisecond })
	h.shard.lock()
	gen, _, _ := h.shard.ledger.SweepOwed()
	h.shard.ledger.Swept(gen)
	h.shard.unlock()
	h.await("the first sweep is over", func() bool { return h.shard.ledger.Swept(gen) || !h.shard.ledger.Sweeping() })
	const databases = 8
	var clients []*wire
	for db := range databases {
		c := h.client()
		c.expect(fmt.Sprintf("SELECT %d", db), "+OK")
		c.expect(fmt.Sprintf("SET k%d v", db), "+OK")
		clients = append(clients, c)
	}
	h.await("one is left", func() bool { return h.laneCount() == 1 && len(h.shard.feeds.all) == 1 })
	h.await("the server has one lane and its feed", func() bool { return h.shard.Tracking().Lanes == 1 })
	if why, owed := h.sweepOwed(); owed {
		t.Fatalf("a sweep is owed: %s", why)
	}
	if lost := h.shard.Counts().LanesLost; lost != 0 {
		t.Errorf("%d lanes count as lost", lost)
	}
	// What a lane that is gone has written, somebody else changes.
	source := h.direct(h.source)
	for db := range databases {
		source.expect(fmt.Sprintf("SELECT %d", db), "+OK")
		source.expect(fmt.Sprintf("SET k%d other", db), "+OK")
		h.wantDirty(db, fmt.Sprintf("k%d", db), true)
	}
	for db, c := range clients {
		c.expect(fmt.Sprintf("GET k%d", db), "$5 other")
		c.expect(fmt.Sprintf("SET k%d mine", db), "+OK")
	}
	h.settled()
	for db := range databases {
		h.equal(db, fmt.Sprintf("k%d", db))
	}
}

// TestALaneThatIsUsedAgainStays: its feed is set again.
func TestALaneThatIsUsedAgainStays(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfScripts, func(o *Options, _ *ServerOptions) { o.laneIdle = time.Hour })
	c := h.client()
	c.expect("SELECT 1", "+OK")
	c.expect("SET k v", "+OK")
	h.await("both have feeds", h.allSet)
	h.shard.lock()
	for _, ls := range h.shard.primary.lanes {
		ls.each(func(ln *lane) { h.shard.feeds.leave(ln) })
	}
	leaving := !h.allSet()
	h.shard.retireIdle(time.Now())
	h.shard.unlock()
	if !leaving {
		t.Error("no feed was leaving")
	}
	h.await("both have feeds again", h.allSet)
	if h.laneCount() != 2 {
		t.Errorf("%d lanes", h.laneCount())
	}
	c.expect("SET k w", "+OK")
	h.wantDirty(1, "k", false)
}
