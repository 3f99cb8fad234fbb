package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Changes is whose changes of keys, besides those that lanes make, the primary is asked to report.
type Changes uint8

const (
	// OfScripts are keys that a script of ours writes without declaring them. Nothing can have been missed as long as
	// Covered says, before the script is sent and when it is answered, the same.
	OfScripts Changes = 1 << iota
	// OfWriters are keys that others change past the proxy. What they did before anybody listened was missed, so a
	// sweep is owed whenever listening begins.
	OfWriters
)

const (
	// feedTick is how often is looked for lanes without a feed, and for stripes that have changed hands.
	feedTick = 10 * time.Millisecond
	// feedHeartbeat is how often feeds are asked to say that they live; one that does not within feedSilence is
	// given up.
	feedHeartbeat = time.Second
	feedSilence   = 10 * time.Second
	// feedRetry is the pause before a lane is offered a feed again after it could not be set up.
	feedRetry = time.Second
	// newDatabases is how often is looked for databases that others have begun to use.
	newDatabases = 5 * time.Second
)

// feeds listens to what the primary reports of changed keys: one feed for each shared lane (see ledger.SetFeed for
// why one is not enough). A round asks all feeds to say that they have come as far as the round's PING; when all
// have, everything has been judged that was changed before it. Rounds are numbered, one at a time.
//
// Everything is under the shard's lock.
type feeds struct {
	sh      *Shard
	reasons Changes
	writers bool // among the reasons, now or before
	running bool
	wake    chan struct{}
	all     map[*lane]*feed
	dbs     []int // in use
	// namesakes are the keys of names that were reported lately: each report comes on nearly all feeds.
	namesakes *namesakes

	covered uint64 // raised whenever listening begins
	listens bool

	round    uint64 // the last that was begun
	done     uint64 // the last that has ended
	wanted   uint64 // the last that somebody waits for
	setting  []*feed
	owing    int    // feeds that have not answered the present round
	flushes  uint64 // of ours, done when the round began
	flushing bool   // ... or one was in flight
	unsure   bool   // a flush was reported since

	foreign, emptyings uint64
	problem            string
	trouble            complaint
	looked             time.Time // for databases in use; zero: not yet
	last               uint64    // the round after which all is over; 0 while it is not to be
}

// Tracking is how far changes by others are listened to.
type Tracking struct {
	// Wanted: they are asked for. Listening: the primary reports them.
	Wanted, Listening bool
	// Foreign counts keys that were changed by nothing that we sent on a shared lane; expiries and evictions are
	// among them. Emptyings counts flushes by others.
	Foreign, Emptyings uint64
	// Lanes is how many shared lanes there are, Without how many of them have no feed. Whatever is written on those is
	// copied.
	Lanes, Without int
	// Problem says why a lane has none.
	Problem string
}

// Track says whose changes are to be reported from now on, and whose no longer. It returns at once: wait until
// Covered is not 0. What is made from other keys (RENAME, SUNIONSTORE, ...) is copied, not replayed, meanwhile. The
// lock is held.
func (sh *Shard) Track(c Changes, on bool) {
	f := &sh.feeds
	had := f.reasons
	if on {
		f.reasons |= c
	} else {
		f.reasons &^= c
	}
	if f.reasons != 0 {
		// Neither ends before all ends: there may be reports that are not read yet.
		f.writers = f.writers || f.reasons&OfWriters != 0
		sh.ledger.SetForeign(true, f.writers)
		f.last = 0
	}
	if f.reasons&^had&OfWriters != 0 {
		if f.looked = (time.Time{}); f.listens {
			f.owe("writers that bypass the proxy are looked for")
		}
	}
	if f.reasons != 0 && !f.running {
		*f = feeds{sh: sh, reasons: f.reasons, writers: f.writers, running: true, wake: make(chan struct{}, 1), all: map[*lane]*feed{}, namesakes: &namesakes{},
			covered: f.covered, foreign: f.foreign, emptyings: f.emptyings}
		sh.work.Go(f.run)
	}
	f.poke()
}

// Covered returns 0 while nobody is told of changed keys, else a number that is another one each time that
// listening has begun: if it was the same when a script was sent and is when it is answered, all that the script
// has written is reported. The lock is held.
func (sh *Shard) Covered() uint64 {
	if !sh.feeds.listens {
		return 0
	}
	return sh.feeds.covered
}

// Tracking returns how far changes by others are listened to. The lock is held.
func (sh *Shard) Tracking() Tracking {
	f := &sh.feeds
	t := Tracking{Wanted: f.reasons != 0, Listening: f.listens, Foreign: f.foreign, Emptyings: f.emptyings}
	if !t.Wanted {
		return t
	}
	t.Problem = f.problem
	sh.eachShared(func(ln *lane) {
		t.Lanes++
		if x := f.all[ln]; x == nil || !x.live() {
			t.Without++
		}
	})
	return t
}

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

// eachShared calls fn for the primary's shared lanes that are connected.
func (sh *Shard) eachShared(fn func(ln *lane)) {
	for _, ls := range sh.primary.lanes {
		ls.each(func(ln *lane) {
			if ln.up {
				fn(ln)
			}
		})
	}
}

func (f *feeds) poke() {
	select {
	case f.wake <- struct{}{}:
	default: // also when it does not run
	}
}

// owe says that a sweep is owed, where anything is replicated.
func (f *feeds) owe(why string) {
	if f.sh.dual {
		f.sh.ledger.OweSweep(why, 0)
	}
}

// run gives lanes their feeds and begins rounds, until nothing is to be listened to.
func (f *feeds) run() {
	sh := f.sh
	tick := time.NewTicker(feedTick)
	defer tick.Stop()
	var beat, tried time.Time
	for {
		sh.lock()
		if sh.stopping || f.over() {
			if f.stop(); f.reasons == 0 || sh.stopping {
				f.running = false
				sh.unlock()
				return
			}
		}
		now := time.Now()
		if !f.looked.IsZero() || f.reasons == 0 {
			f.attach(now)
		}
		var ping []*feed
		if f.round == f.done && (f.wantsRound() || now.Sub(beat) >= feedHeartbeat) {
			ping, beat = f.begin(now), now
		}
		f.giveUpSilent(now)
		round := f.round
		ask := f.reasons != 0 && sh.dual && now.Sub(f.looked) >= newDatabases && now.Sub(tried) >= feedRetry
		sh.unlock()
		for _, x := range ping {
			x.ping(round)
		}
		if ask {
			tried = now
			_ = f.lookForDatabases(sh.ctx, now) // the lanes say what is wrong with the primary
			continue
		}
		select {
		case <-sh.ctx.Done():
		case <-f.wake:
		case <-tick.C:
		}
	}
}

// over reports whether nothing is to be listened to any more, and all is read that was reported.
func (f *feeds) over() bool {
	if f.reasons != 0 {
		return false
	}
	if f.last == 0 {
		f.last = f.round + 1
		f.wanted = max(f.wanted, f.last)
	}
	return !f.listens || f.done >= f.last
}

// moved ends the feeds of the primary that was: all had been read when roles changed. The new one reports nothing yet.
func (f *feeds) moved() {
	for ln, x := range f.all {
		if ln.of != f.sh.primary {
			f.drop(x)
		}
	}
	if f.running {
		f.poke()
	}
}

// attach ends the feeds of connections that are gone, and begins one for each that has none.
func (f *feeds) attach(now time.Time) {
	for ln, x := range f.all {
		switch {
		case ln.of != f.sh.primary: // see moved
		case !ln.up || ln.conn != x.lane:
			f.lost(x)
			delete(f.all, ln)
		}
	}
	if !f.sh.dual || f.reasons == 0 {
		return
	}
	f.sh.eachShared(func(ln *lane) {
		if x := f.all[ln]; x != nil && (x.state != feedOver || now.Sub(x.since) < feedRetry) {
			return
		}
		x := &feed{of: f, ln: ln, lane: ln.conn, since: now}
		f.all[ln] = x
		f.sh.work.Go(x.run)
		f.use(ln.db)
	})
}

// use adds a database to those in use, and reports whether it is new. A script's is before the script is sent: its
// reports may be there before the lane is seen to have no feed.
func (f *feeds) use(db int) bool {
	if slices.Contains(f.dbs, db) {
		return false
	}
	f.dbs = append(slices.Clone(f.dbs), db) // who judges has the old ones
	return true
}

// answered: the lane has been answered whether its reports are sent to x.
func (f *feeds) answered(x *feed, reply []byte) {
	switch {
	case x.state != feedOpening:
		return
	case reply[0] != '+':
		x.state = feedRefused
		x.why = fmt.Errorf("%s: CLIENT TRACKING, in the name of those whom a lane serves: %s", x.ln.of.inst, replyText(reply))
		f.complain(x)
		_ = x.conn.Close()
		return
	}
	x.state = feedFlows
	done, _ := f.sh.ledger.Flushes()
	x.base = done
	if !f.listens {
		f.listens = true
		f.covered++
		if f.reasons&OfWriters != 0 {
			f.owe("others may have changed keys while nobody listened")
		}
	}
	f.poke()
}

// lost ends a feed whose connection or lane is gone. What it was about to report is lost.
func (f *feeds) lost(x *feed) {
	was := x.state
	f.drop(x)
	switch {
	case x.ln.of != f.sh.primary: // roles have changed, when all had been read
	case was == feedFlows || was == feedSet || was == feedLeaving:
		f.owe("a connection was lost on which changes of keys were reported")
	case was == feedOpening && x.why != nil && x.ln.up && x.ln.conn == x.lane:
		f.complain(x)
	}
}

// drop ends a feed.
func (f *feeds) drop(x *feed) {
	switch x.state {
	case feedOver:
		return
	case feedRefused:
		if x.ln.up && x.ln.conn == x.lane && x.ln.of == f.sh.primary && f.reasons != 0 {
			return // it would be refused again
		}
	case feedSet:
		if x.ln.listed() {
			f.sh.ledger.SetFeed(x.ln.id, false)
		}
	}
	x.state, x.since = feedOver, time.Now()
	f.settle(x)
	if x.conn != nil {
		_ = x.conn.Close()
	}
	listens := false
	for _, other := range f.all {
		listens = listens || other.live() && other.ln.of == f.sh.primary
	}
	f.listens = listens
	if x.ln.of != f.sh.primary && f.all[x.ln] == x {
		delete(f.all, x.ln)
	}
	f.ended()
}

// listed reports whether the lane is among those of its upstream: its number in the ledger is its own still.
func (ln *lane) listed() bool {
	is := false
	if ls := ln.of.lanes[ln.laneKey]; ls != nil {
		ls.each(func(other *lane) { is = is || other == ln })
	}
	return is
}

// complain says that a lane has no feed.
func (f *feeds) complain(x *feed) {
	f.problem = x.why.Error()
	f.trouble.failed(f.sh.opt.Log, "changes of keys by others are not reported to a lane", x.why, "db", x.ln.db)
}

// stop ends all feeds.
func (f *feeds) stop() {
	for _, x := range f.all {
		if x.live() && x.ln.up && x.ln.conn == x.lane {
			x.ln.enqueue(&request{src: trackingOff, replies: 1, then: func([]byte) []byte { return nil }})
			x.ln.flushLocked()
		}
		f.drop(x)
	}
	clear(f.all)
	f.listens, f.problem = false, ""
	if f.reasons == 0 {
		f.writers = false
		f.sh.ledger.SetForeign(false, false)
	}
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

// lookForDatabases asks the primary which databases have keys: our lanes write where they are, but others may write
// anywhere, and a script whose source nobody knows may SELECT. Reports are judged for the databases in use, so what was
// reported of a new one before is not known.
func (f *feeds) lookForDatabases(ctx context.Context, now time.Time) error {
	sh := f.sh
	sh.lock()
	i := sh.primary.inst
	sh.unlock()
	facts, err := i.Facts(ctx)
	if err != nil {
		return err
	}
	sh.lock()
	defer sh.unlock()
	if sh.primary.inst != i {
		return nil
	}
	f.looked = now
	for db := range facts.Keys {
		if db < sh.env.DBs && !slices.Contains(f.dbs, db) {
			f.dbs = append(slices.Clone(f.dbs), db)
			if f.listens {
				f.owe("keys have come to be in a database that nobody used")
			}
		}
	}
	return nil
}
