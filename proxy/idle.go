package proxy

import "time"

// defaultLaneIdle is how long nothing must have been sent on any lane of a key for them to be closed. Whoever comes
// next has them opened anew.
const defaultLaneIdle = 5 * time.Minute

// watchIdle closes lanes that nobody has used for long: each costs the primary a connection or, where changes of keys are
// reported, two, and the reports of all that others do.
func (sh *Shard) watchIdle() {
	tick := time.NewTicker(sh.opt.laneIdle / 10)
	defer tick.Stop()
	for {
		select {
		case <-sh.ctx.Done():
			return
		case now := <-tick.C:
			sh.lock()
			sh.retireIdle(now)
			sh.unlock()
		}
	}
}

// retireIdle closes the primary's lanes that are idle, those of one key together. Each account keeps some: a cutover finds
// out by them whether the new primary lets it in. The lock is held.
func (sh *Shard) retireIdle(now time.Time) {
	u := sh.primary
	if sh.held || !u.known {
		return
	}
	sets := map[*account]int{}
	for k := range u.lanes {
		sets[k.who]++
	}
	for k, ls := range u.lanes {
		idle := sets[k.who] > 1
		ls.each(func(ln *lane) { idle = idle && ln.idleSince(now.Add(-sh.opt.laneIdle)) })
		if !idle {
			ls.each(sh.feeds.stay)
			continue
		}
		ready := true
		ls.each(func(ln *lane) { ready = sh.feeds.leave(ln) && ready })
		if !ready {
			continue
		}
		sets[k.who]--
		delete(u.lanes, k)
		ls.each(func(ln *lane) {
			sh.feeds.left(ln)
			sh.retire(ln) // its goroutine ends, and gives its number back
		})
		for _, ln := range u.idle[k] {
			sh.retire(ln)
		}
		delete(u.idle, k)
	}
}

// idleSince reports whether nothing was sent on the lane since then, and nothing is on the way or waits to be.
func (ln *lane) idleSince(then time.Time) bool {
	return ln.up && !ln.stale && ln.queue.n == 0 && ln.out.unsent == 0 && !ln.writing && ln.used < then.UnixNano() &&
		ln.sh.ledger.Idle(ln.id)
}

// leave prepares the end of a lane's feed: from now on reports about the lane's keys count on every feed, and what was
// reported to this one alone is read when a round has passed that begins later. It returns whether that has come about. A
// feed that is being set up does not leave.
func (f *feeds) leave(ln *lane) bool {
	x := f.all[ln]
	switch {
	case x == nil || x.state == feedRefused || x.state == feedOver:
		return true
	case x.state == feedLeaving:
		return f.done >= x.leaves
	case x.state == feedSet:
		f.sh.ledger.SetFeed(ln.id, false)
		x.state, x.leaves = feedLeaving, f.round+1
		f.wanted = max(f.wanted, x.leaves)
		f.poke()
	}
	return false
}

// stay takes leave back: the lane is in use again.
func (f *feeds) stay(ln *lane) {
	if x := f.all[ln]; x != nil && x.state == feedLeaving {
		x.state = feedFlows // it is set after the next round
		f.poke()
	}
}

// left ends the feed of a lane that is closed.
func (f *feeds) left(ln *lane) {
	if x := f.all[ln]; x != nil {
		f.drop(x)
		delete(f.all, ln)
	}
}
