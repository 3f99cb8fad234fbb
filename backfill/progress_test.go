package backfill

import (
	"testing"

	"tandem/internal/status"
)

// A sweep that stands still for long has a rate that dies away and is never 0: the time left is unknown then, and no number.
func TestTheTimeLeftIsUnknownWhileNothingMoves(t *testing.T) {
	s := &Sweep{c: &Copier{throttle: NewThrottle(Limits{})}}
	p := &s.progress
	p.state, p.keys, p.measured = status.Running, [2]int64{1000, 0}, true
	p.workPerS = 100
	if eta, known := s.Progress().EtaS.Get(); !known || eta < 10 || eta > 11 { // looking at the secondary's keys costs a little
		t.Errorf("1000 keys at 100 a second: %d %v", eta, known)
	}
	for _, rate := range []float64{0, 1e-15, 1e-300} {
		p.workPerS = rate
		if eta, known := s.Progress().EtaS.Get(); known {
			t.Errorf("at %g a second: %d", rate, eta)
		}
	}
}
