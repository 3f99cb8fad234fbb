package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errDeaf: there is nothing that reports could come on.
var errDeaf = errors.New("changes of keys by others are to be listened to, and no lane has a connection for their reports")

// ReadReports waits until all changes have been judged that the primary made before the call: what they have made
// dirty is copied before roles change. Where nobody listens it has nothing to do, unless that is a fault: then it
// returns an error.
func (sh *Shard) ReadReports(ctx context.Context) error {
	sh.lock()
	f := &sh.feeds
	if f.reasons == 0 || !sh.dual {
		sh.unlock()
		return nil
	}
	sh.unlock()
	if err := f.lookForDatabases(ctx, time.Now()); err != nil {
		return fmt.Errorf("%s: looking for databases in use: %w", sh.Primary(), err)
	}
	sh.lock()
	need := f.round + 1
	f.wanted = max(f.wanted, need)
	began := f.covered
	f.poke()
	sh.unlock()
	err := sh.Await(ctx, func() bool { return f.done >= need || !f.listens })
	sh.lock()
	defer sh.unlock()
	switch {
	case !f.listens || f.covered != began:
		return errDeaf
	case err != nil:
		return fmt.Errorf("%s: reading what it reports of changed keys: %w", sh.primary.inst, err)
	}
	return nil
}

// wantsRound reports whether there is a reason to read all feeds as far as they have come.
func (f *feeds) wantsRound() bool {
	if f.wanted > f.done || f.unsure || f.sh.ledger.RoundWanted() {
		return true
	}
	for _, x := range f.all {
		if x.state == feedFlows {
			return true
		}
	}
	return false
}

// begin begins a round, and returns the feeds that are to be sent its PING.
func (f *feeds) begin(now time.Time) (ping []*feed) {
	f.round++
	f.sh.ledger.BeginRound()
	f.flushes, f.flushing = f.sh.ledger.Flushes()
	f.unsure = false
	f.setting = f.setting[:0]
	for _, x := range f.all {
		if !x.live() {
			continue
		}
		x.asked, x.since, x.owes = f.round, now, true
		f.owing++
		if x.state == feedFlows {
			f.setting = append(f.setting, x)
		}
		ping = append(ping, x)
	}
	f.ended()
	return ping
}

// ponged: a feed has come as far as the PING of a round. The lock is not held.
func (f *feeds) ponged(x *feed, round uint64) {
	f.sh.lock()
	defer f.sh.unlock()
	if x.read = round; round == f.round {
		f.settle(x)
	}
	f.ended()
}

// settle notes that a feed has answered the round, or is not waited for any more.
func (f *feeds) settle(x *feed) {
	if x.owes {
		x.owes = false
		f.owing--
	}
}

// ended ends the round when all feeds have been read that were asked.
func (f *feeds) ended() {
	if f.round == f.done || f.owing > 0 {
		return
	}
	f.done = f.round
	f.sh.ledger.EndRound()
	for _, x := range f.setting {
		if x.state == feedFlows {
			x.state = feedSet
			f.sh.ledger.SetFeed(x.ln.id, true)
			f.unsure = true // what was written meanwhile may still be reported
		}
	}
	f.setting = f.setting[:0]
	f.countFlushes()
	if f.listens {
		f.trouble.over(f.sh.opt.Log, "changes of keys by others are reported")
	}
	f.poke()
}

// countFlushes compares how many flushes the feeds have reported with how many of ours were done. It can tell only
// when none of ours was on the way during the round.
func (f *feeds) countFlushes() {
	if done, flushing := f.sh.ledger.Flushes(); f.flushing || flushing || done != f.flushes {
		f.unsure = true
		return
	}
	others := uint64(0)
	for _, x := range f.all {
		if !x.live() || x.asked != f.round {
			continue
		}
		if x.base+x.nulls > f.flushes {
			others = max(others, x.base+x.nulls-f.flushes)
		}
		x.base, x.nulls = f.flushes, 0
	}
	if others > 0 {
		f.emptyings += others
		f.owe("somebody else has emptied a database of the primary")
	}
}

// emptied: a feed reports a flush. Whether it was ours is told when the round is over. The lock is not held.
func (f *feeds) emptied(x *feed) {
	f.sh.lock()
	defer f.sh.unlock()
	x.nulls++
	f.unsure = true
	f.poke()
}

// giveUpSilent ends feeds that do not answer.
func (f *feeds) giveUpSilent(now time.Time) {
	for _, x := range f.all {
		if x.live() && x.read < x.asked && now.Sub(x.since) > feedSilence {
			x.why = fmt.Errorf("it has not answered for %s", feedSilence)
			f.lost(x)
		}
	}
}
