package proxy

import (
	"fmt"
	"strings"
	"testing"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
)

// A database that the secondary does not have: what follows the SELECT that fails must not change another.
func TestEffectsGoToNoOtherDatabase(t *testing.T) {
	h := newHouseOn(t, redisd.Options{}, redisd.Options{Args: []string{"--databases", "4"}}, true, nil)
	l := h.link(h.src, h.tgt)
	defer l.stop()
	c := h.client()
	for i := range 50 {
		for _, db := range []int{0, 7, 3, 9} {
			c.expect(fmt.Sprint("SELECT ", db), "+OK")
			c.expect(fmt.Sprint("SET k db", db), "+OK")
			c.expect(fmt.Sprint("RPUSH l", i%3, " db", db), fmt.Sprint(":", i/3+1))
		}
	}
	var failing []string
	h.await("the keys that fail are named", func() bool {
		failing = nil
		h.shard.ledger.Failing(1, func(d *ledger.Dirty) bool {
			failing = append(failing, fmt.Sprint(d.Key.DB, " ", string(d.Key.Name), " ", d.Why))
			return true
		})
		return len(failing) == 8 && h.shard.ledger.DirtyKeys() == 8 && h.shard.ledger.Unsettled() == 0
	})
	for _, f := range failing {
		if !strings.Contains(f, "out of range") || !strings.HasPrefix(f, "7 ") && !strings.HasPrefix(f, "9 ") {
			t.Error(f)
		}
	}
	source, target := readKeyspace(t, h.source.Addr, 4), readKeyspace(t, h.target.Addr, 4)
	for k, v := range source {
		if target[k] != v {
			t.Errorf("%s: source %s, target %s", k, v, target[k])
		}
	}
	if len(source) != len(target) {
		t.Errorf("%d keys on the source, %d on the target", len(source), len(target))
	}
}

// A database beyond those that are migrated is tried when it is first needed.
func TestADatabaseIsTriedWhenItIsNeeded(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Args: []string{"--databases", "40"}}, redisd.Options{Args: []string{"--databases", "40"}}, true, nil)
	c := h.client()
	c.expect("SELECT 33", "+OK")
	c.expect("SET k v", "+OK")
	h.converged()
	c.expect("INCR n", ":1")
	h.settled()
	if n := h.shard.ledger.DirtyKeys(); n != 0 {
		t.Errorf("%d keys are dirty: the database was not known any more", n)
	}
	w := dial(t, h.target.Addr)
	w.expect("SELECT 33", "+OK")
	w.expect("GET k", "$1 v")
	w.expect("GET n", "$1 1")
}

func TestASilentSecondaryIsNotStalled(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("SET a b", "+OK")
	h.settled()
	// As if it had been silent for long.
	h.shard.lock()
	h.shard.effects.heard = 1
	h.shard.unlock()
	if err := h.target.Pause(); err != nil {
		t.Fatal(err)
	}
	c.expect("SET a c", "+OK")
	h.shard.lock()
	if e := h.shard.effects; e.awaited.n == 0 || e.SilentFor() > 0 {
		t.Errorf("the first effect behind a silence looks as if it had waited through all of it: %v", e.SilentFor())
	}
	h.shard.unlock()
	if err := h.target.Continue(); err != nil {
		t.Fatal(err)
	}
	h.settled()
}
