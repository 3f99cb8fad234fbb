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
	// OfNewcomers are keys that others may come to change past the proxy. Nobody has so far, so nothing is owed when
	// listening begins; and if it is for writers then, nothing of theirs was missed.
	OfNewcomers

	pastUs = OfWriters | OfNewcomers
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
	// Others counts those of Foreign that nothing of ours can have changed, expiries and evictions among them.
	Others uint64
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
		f.writers = f.writers || f.reasons&pastUs != 0
		sh.ledger.SetForeign(true, f.writers)
		f.last = 0
	}
	if f.reasons&^had&pastUs != 0 && had&pastUs == 0 {
		f.looked = time.Time{}
	}
	if f.reasons&^had&OfWriters != 0 && f.listens && had&OfNewcomers == 0 {
		f.owe("writers that bypass the proxy are looked for")
	}
	if f.reasons != 0 && !f.running {
		*f = feeds{sh: sh, reasons: f.reasons, writers: f.writers, running: true, wake: make(chan struct{}, 1), all: map[*lane]*feed{}, namesakes: &namesakes{moves: sh.opt.Moves},
			covered: f.covered, foreign: f.foreign, emptyings: f.emptyings}
		sh.work.Go(f.run)
	}
	f.poke()
}

// Tracks reports whether all of these changes are to be reported. The lock is held.
func (sh *Shard) Tracks(c Changes) bool { return sh.feeds.reasons&c == c }

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
	t := Tracking{Wanted: f.reasons != 0, Listening: f.listens, Foreign: f.foreign, Emptyings: f.emptyings,
		Others: sh.ledger.Stats().Others}
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

// use adds a database to those in use. A lane's is before anything is sent on it, and a script's before the script is: what is
// reported may be there before the lane is seen to have no feed.
func (f *feeds) use(db int) {
	if !slices.Contains(f.dbs, db) {
		f.dbs = append(slices.Clone(f.dbs), db) // who judges has the old ones
	}
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
		if f.owe("a connection was lost on which changes of keys were reported"); errors.Is(x.why, errFeed) {
			f.complain(x)
		}
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
			x.ln.flushLocked(nil)
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
	for number := range facts.Keys {
		if db := i.Database(number); db < sh.env.DBs && !slices.Contains(f.dbs, db) {
			f.dbs = append(slices.Clone(f.dbs), db)
			if f.listens {
				f.owe("keys have come to be in a database that nobody used")
			}
		}
	}
	return nil
}
