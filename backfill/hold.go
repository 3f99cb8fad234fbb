package backfill

import (
	"context"
	"time"

	"tandem/internal/ledger"
)

// hold is a write that owns a suspect's stripe without writing.
type hold struct {
	w       ledger.Write
	granted chan struct{}
}

// Granted is called with the ledger's lock held.
func (h *hold) Granted(*ledger.Write) { close(h.granted) }

// lookAtHeld compares a suspect that is written all the time, while it owns the stripe and so keeps the
// writes back.
func (v *Verify) lookAtHeld(ctx context.Context, s *suspect) error {
	h := &hold{granted: make(chan struct{})}
	h.w = ledger.Write{Kind: ledger.CopyRead, Lane: v.lane, Keys: []ledger.Key{s.look.Key}, Waiter: h}
	v.l.Lock()
	if v.l.Acquire(&h.w) {
		h.Granted(&h.w)
	}
	v.l.Unlock()
	defer func() {
		v.l.Lock()
		defer v.l.Unlock()
		select {
		case <-h.granted:
			v.l.Unanswered(&h.w)
		default:
			v.l.Cancel(&h.w)
		}
	}()
	limited, cancel := context.WithTimeout(context.WithValue(ctx, holding{}, true), v.opt.HoldTimeout)
	defer cancel()
	select {
	case <-h.granted:
	case <-limited.Done():
		return nil // its lane may be lost; there is no hurry
	}
	v.holds.Add(1)
	v.l.Lock()
	s.state = v.l.BeginLook(&s.look, &h.w)
	mark := s.look.Mark
	v.l.Unlock()
	if s.state != ledger.Settled {
		return nil
	}
	if !v.quiet(limited, mark, v.opt.HoldTimeout) {
		return nil
	}
	if err := v.compareContents(limited, s.db, []*suspect{s}); err != nil {
		// Trouble with an instance is the next look's to tell. A value that takes longer than clients may be
		// held back for will not be smaller then.
		if s.changed++; limited.Err() != nil && s.changed > maxChanged+maxHolds {
			v.reportUnsettled(s)
		}
		return nil
	}
	now := time.Now()
	v.l.Lock()
	still := v.l.EndLook(&s.look)
	v.l.Unlock()
	switch {
	case s.found.kind == "":
		s.done = true
	case still && s.persists(now):
		v.reportDifference(s)
	}
	return nil
}
