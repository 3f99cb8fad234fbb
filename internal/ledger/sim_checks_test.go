package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// checkCounts compares the ledger's counts with what is really under way.
func (s *sim) checkCounts() {
	if s.dead {
		return
	}
	n, reads := 0, 0
	for _, x := range s.lanes {
		for _, w := range x.unanswered {
			if !w.unkeyed {
				n++
			}
		}
	}
	for _, j := range s.jobs {
		if j.owner != nil && !j.owner.queued {
			reads++
		}
	}
	if s.l.inflight != n+reads || s.l.reads != reads {
		s.fail("the ledger counts %d in flight, %d of them reads; there are %d and %d", s.l.inflight, s.l.reads, n+reads, reads)
	}
	if s.l.inflight == 0 && len(s.l.tickets) > 0 && !s.held && !s.anyLaneDown() && !s.cfg.two && !s.kept.wanted {
		s.fail("%d writes wait for nothing", len(s.l.tickets))
	}
	if got, want := s.l.onTheWay(), s.sinks[0].waiting()+s.sinks[1].waiting(); got != want {
		s.fail("the ledger counts %d outstanding, there are %d", got, want)
	}
}

func (s *sim) anyLaneDown() bool {
	return slices.ContainsFunc(s.lanes, func(x *simLane) bool { return x.down })
}

// atRest checks what must hold when nothing happens any more.
func (s *sim) atRest() error {
	l := s.l
	s.t += 1000 // what was to expire has: on both sides, or on one
	for k := range keyID(s.cfg.keys) {
		if kept, err := s.keptAtRest(k); err != nil {
			return err
		} else if kept {
			continue
		}
		p, q := s.inst[s.prim].live(k, s.now(s.prim)), s.inst[s.secondary()].live(k, s.now(s.secondary()))
		if p.val != q.val {
			return fmt.Errorf("P2: key %d is %q on the primary and %q on the secondary", k, p.val, q.val)
		}
		if r := s.ref[k]; !s.cfg.expiry && !s.cfg.noRef && p != r {
			return fmt.Errorf("lost write: key %d is %q, all writes make it %q", k, p.val, r.val)
		}
	}
	if p, q := s.libs[s.prim], s.libs[s.secondary()]; p != q || p != s.refLib {
		return fmt.Errorf("what belongs to no key is %q on the primary and %q on the secondary, all writes make it %q", p, q, s.refLib)
	}
	var left []string
	see := func(what string, n int) {
		if n != 0 {
			left = append(left, fmt.Sprintf("%d %s", n, what))
		}
	}
	see("tickets", len(l.tickets))
	see("queues", len(l.queues))
	see("barriers that wait", l.waitingBarriers)
	see("barriers in flight", l.barriers)
	see("writes in flight", l.inflight)
	see("reads in flight", l.reads)
	see("in the epochs", l.inEpoch[0]+l.inEpoch[1])
	for i := range l.stripes {
		see("in flight on a stripe", int(l.stripes[i].inflight))
	}
	for i := range l.lanes {
		see("in flight on a lane", l.lanes[i].inflight)
	}
	see("unsettled", l.Unsettled())
	see("dirty", l.DirtyKeys())
	see("with the copier", l.copying)
	see("outstanding", l.onTheWay())
	copies, bytes := l.Copying()
	see("copies outstanding", copies)
	see("bytes outstanding", bytes)
	if l.names.cur != nil {
		see("names alive", l.names.cur.live)
	}
	for _, b := range l.names.free {
		see("names alive in a free block", b.live)
	}
	if d, wait := s.nextDirty(); d != nil || wait != 0 {
		see("keys still handed to the copier", 1)
	}
	for _, untold := range s.untold {
		if untold && !s.cfg.noRef {
			see("keys decided and not reported", 1)
		}
	}
	see("blocked commands", l.Blocking())
	see("keys blocked on", len(l.blockedOn))
	see("loads in flight", l.everywhere.inflight)
	if _, owed := l.EverywhereOwed(); owed {
		left = append(left, "a copy owed of what belongs to no key")
	}
	if l.Sweeping() {
		left = append(left, "a sweep owed")
	}
	if len(left) == 0 && !l.Drained() {
		left = append(left, "not drained")
	}
	if len(left) > 0 {
		return fmt.Errorf("at rest there are left: %s", strings.Join(left, ", "))
	}
	s.awaitsNothing()
	if s.settledIntents(); s.bad != nil {
		return s.bad
	}
	return nil
}
