package proxy

import (
	"context"
	"time"

	"tandem/internal/instance"
)

const (
	// silenceEvery is how often lanes are looked at for commands that have long been unanswered.
	silenceEvery = time.Second
	// silenceMin is the least time that makes a lane's silence remarkable, where primary.wait is shorter.
	silenceMin = time.Second
	// silenceProbes is how often in a row, and silenceAnswer how fast, a server must answer others before a connection that
	// it does not answer counts as dead.
	silenceProbes = 3
	silenceAnswer = 2 * time.Second
)

// silenceLimit is how long a command may be unanswered before somebody looks why: as long as it would wait for a
// primary that is not connected.
func (sh *Shard) silenceLimit() time.Duration { return max(sh.opt.PrimaryWait, silenceMin) }

// watchSilence finds lanes whose connection is dead without anybody having said so: the server has vanished, its address
// was taken over by another one, or a firewall has forgotten the connection. TCP by itself needs a quarter of an hour for
// that while commands are on the way. A server that is just slow, or busy with a script, does not answer others
// either, and is waited for, as its own clients do; one that holds writes back (CLIENT PAUSE) would not execute
// another's.
func (sh *Shard) watchSilence() {
	tick := time.NewTicker(silenceEvery)
	defer tick.Stop()
	for {
		select {
		case <-sh.ctx.Done():
			return
		case <-tick.C:
		}
		sh.lock()
		u := sh.primary
		silent := u.silent(time.Now().Add(-sh.silenceLimit()))
		sh.ledger.SetSilent(sh.opt.At, len(silent) > 0)
		sh.unlock()
		if len(silent) > 0 {
			sh.giveUpSilent(u, silent)
		}
		sh.lock()
		e := sh.effects
		secondary := e != nil && e.SilentFor() > 0
		sh.unlock()
		if secondary {
			e.giveUpSilent()
		}
	}
}

// silent are lanes that have a command unanswered since before a moment, and have neither received nor got rid of anything
// since then, with that moment. Commands
// that may block are none of these: their silence is what they are for. The lock is held.
func (u *upstream) silent(before time.Time) map[*lane]int64 {
	found := map[*lane]int64{}
	look := func(ln *lane) {
		if since := ln.silentSince(); since != 0 && since < before.UnixNano() {
			found[ln] = since
		}
	}
	for _, ls := range u.lanes {
		ls.each(look)
	}
	for ln := range u.pinned {
		look(ln)
	}
	return found
}

// silentSince is when the lane began to be silent although something was asked, Unix nanoseconds, or 0.
func (ln *lane) silentSince() int64 {
	r := ln.queue.head
	if !ln.up || r == nil || r.blocking != nil || r.cmd == nil {
		return 0
	}
	if _, learned := ln.sh.learned[r.cmd.Name]; learned {
		return 0 // it may block, for all we know
	}
	return max(r.at, ln.heard, ln.wrote.Load())
}

// giveUpSilent closes those lanes that stay silent while the server answers others, or cannot even be reached. Whoever has a
// command on one of them is closed, as when the server breaks the connection; what it comes to is settled once the
// old connection is known dead.
func (sh *Shard) giveUpSilent(u *upstream, silent map[*lane]int64) {
	for range silenceProbes {
		if !answersOthers(u.ctx, u.inst) {
			return
		}
		sh.lock()
		for ln, since := range silent {
			if ln.silentSince() != since {
				delete(silent, ln)
			}
		}
		sh.unlock()
		if len(silent) == 0 {
			return
		}
		select {
		case <-u.ctx.Done():
			return
		case <-time.After(silenceEvery):
		}
	}
	sh.lock()
	defer sh.unlock()
	for ln, since := range silent {
		if ln.silentSince() == since {
			sh.opt.Log.Warn("a connection is given up: the server has answered others, and not this one", "instance", u.inst.String(),
				"lane", ln.what, "for", time.Since(time.Unix(0, since)).Round(time.Millisecond), "commands", ln.queue.n)
			ln.hangUp()
		}
	}
}

// giveUpSilent is the same for the secondary, whose lane is given up in any case when stallLimit has passed.
func (e *EffectLane) giveUpSilent() {
	look := func() int64 {
		e.sh.lock()
		defer e.sh.unlock()
		return e.silentSince()
	}
	since := look()
	for range silenceProbes {
		if since == 0 || !answersOthers(e.ctx, e.inst) || look() != since {
			return
		}
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(silenceEvery):
		}
	}
	e.sh.lock()
	defer e.sh.unlock()
	if e.conn != nil && e.silentSince() == since {
		e.sh.opt.Log.Warn("a connection is given up: the server has answered others, and not this one", "instance", e.inst.String(),
			"lane", e.what, "for", time.Since(time.Unix(0, since)).Round(time.Millisecond), "effects", e.awaited.n)
		_ = e.conn.Close()
	}
}

// silentSince is when the secondary has last answered, or taken a piece of something large, while something is awaited of
// it, Unix nanoseconds, or 0. That it takes small things shows nothing: a dead connection's buffers take them too. The lock
// is held.
func (e *EffectLane) silentSince() int64 {
	switch {
	case e.awaited.n == 0:
		return 0
	case e.large:
		return max(e.heard, e.progress.Load())
	}
	return e.heard
}

// answersOthers reports whether a new connection is answered at once, or cannot be made at all: in either case one that
// is not answered is of no more use.
func answersOthers(ctx context.Context, i *instance.Instance) bool {
	ctx, cancel := context.WithTimeout(ctx, silenceAnswer)
	defer cancel()
	return i.Answers(ctx)
}

// SilentFor is how long the primary has left a command unanswered without a word, 0 if that is not remarkable. The lock is
// held.
func (sh *Shard) SilentFor() time.Duration {
	now := time.Now()
	var longest time.Duration
	for ln := range sh.primary.silent(now.Add(-sh.silenceLimit())) {
		longest = max(longest, now.Sub(time.Unix(0, ln.silentSince())))
	}
	return longest
}

// SilentFor is the same of the secondary, with effects and copies. The lock is held.
func (e *EffectLane) SilentFor() time.Duration {
	since := e.silentSince()
	if d := time.Since(time.Unix(0, since)); since != 0 && d > e.sh.silenceLimit() {
		return d
	}
	return 0
}
