package migration

import (
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/status"
)

// A key is dirty until the secondary has its copy: that the copy was sent is not enough.
func TestACopyOnItsWayIsOfADirtyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	w.pause(w.target)
	w.ledger.Lock()
	w.ledger.MakeDirty(w.dirtyKey([]byte("key:7")))
	w.ledger.Unlock()
	w.until("its copy was sent", func(status.Status) bool {
		w.ledger.Lock()
		defer w.ledger.Unlock()
		copying, _ := w.ledger.Copying()
		return copying == 1 && w.ledger.DirtyKeys() == 0
	})
	if n := w.Status().DirtyKeys; n != 1 {
		t.Errorf("%d dirty keys before the copy is acknowledged", n)
	}
	if err := w.target.Continue(); err != nil {
		t.Fatal(err)
	}
	w.until("it is acknowledged", func(s status.Status) bool { return s.DirtyKeys == 0 })
	w.same(0)
}
