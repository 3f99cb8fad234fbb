package backfill

import (
	"testing"

	"tandem/internal/redisd"
)

// Clients write while the sweep copies what they write to: nothing is lost, nothing goes back, and no effect
// is answered otherwise than on the primary.
func TestSweepUnderLoad(t *testing.T) {
	for _, by := range []string{byDump, byGet} {
		t.Run(by, func(t *testing.T) { sweepUnderLoad(t, by) })
	}
}

func sweepUnderLoad(t *testing.T, by string) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, func(c *Copier) { c.reader.strings.always = by == byGet })
	const keys = 4000
	fillTraffic(t, w.first.Addr, keys)
	tr := startTraffic(w, 16, keys)
	defer watchCounters(w, 20)()
	for round := range 3 {
		w.sweep()
		found, _ := w.verify(VerifyOptions{})
		if len(found) > 0 {
			t.Errorf("round %d: differences under load: %v", round, found)
		}
		w.l.Lock()
		w.l.OweSweep("again", 0)
		w.l.Unlock()
	}
	w.sweep()
	tr.halt()
	w.settle()
	w.equal()
	w.l.Lock()
	stats := w.l.Stats()
	w.l.Unlock()
	if stats.Mismatched > 0 {
		t.Errorf("%d effects were answered otherwise than expected", stats.Mismatched)
	}
	s := w.copier.Stats()
	t.Logf("%d writes, %+v, %+v", tr.writes.Load(), stats, s)
	if s.Races == 0 {
		t.Errorf("no races came about: %+v", s)
	}
}
