package proxy

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"tandem/internal/ledger"
	"tandem/router"
)

// takers are all who wait at this instance for something to take from the same keys, where clients write at both.
//
//	ledger.Await ── one of the keys may have changed, at either instance ──┐
//	                                                                      ▼
//	first of all ── the form that does not block, shared lane ──► primary      served, in the order of everything
//	   │ done
//	   ▼
//	the next, until one finds nothing
//
// Nobody blocks on the server. They stand in the order in which they have come, as those stand whom a server serves, and
// take turns. The signal is asked for before each turn, so that no change behind it is missed; a try waits until all that
// has changed the keys before has arrived here, like any other write. When one finds nothing there is nothing for the others.
// (Two kinds of takers of one key, or those at both instances, are served in the order in which the ledger grants their tries.)
//
// Everything is under the shard's lock.
type takers struct {
	sh      *Shard
	id      string // in Shard.takers
	await   ledger.Await
	waiting []*taker // in the order in which they have come
	turn    *taker   // who tries
	told    bool     // there may be something
}

// taker is one of them.
type taker struct {
	b     *blocking
	fresh bool // tries at once, though there may be nothing: what is wrong with his command, the try says
	// look is when he tries unasked, zero for most: a reader of a group may also get what others have kept for too long.
	look  time.Time
	pause time.Duration
}

// takes reports whether b may not block on the server, though the server would let it: it takes something, and clients write at
// both instances.
func (sh *Shard) takes(b *blocking) bool {
	return sh.opt.TwoWay && sh.hints.Load().dual && b.cmd.IsWrite(b.args)
}

// forms are the commands that b tries in its place, in this order; nil if there are none.
func (s *session) forms(b *blocking) (forms []form) {
	server := s.sh.hints.Load().server
	if len(b.raw) > maxTried || !b.bounded {
		return nil
	}
	if raw, cmd, reshape, ok := b.cmd.Try(nil, b.args, server); ok {
		return []form{{raw, cmd, reshape}}
	}
	switch b.cmd.Name {
	case "BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX":
		// The server has no command for several keys (before 7.0): one after the other.
		for _, key := range b.args[1 : len(b.args)-1] {
			raw, cmd, reshape, ok := b.cmd.Try(nil, [][]byte{b.args[0], key, b.args[len(b.args)-1]}, server)
			if !ok {
				return nil
			}
			forms = append(forms, form{raw, cmd, reshape})
		}
	}
	return forms
}

// form is one of them.
type form struct {
	raw     []byte
	cmd     *router.Command
	reshape router.Reshape
}

// take runs a command that takes something, and would block if there is nothing. False ends the session.
func (s *session) take(b *blocking) (alive bool) {
	forms := s.forms(b)
	if forms == nil {
		return s.answer(errorReply(nil, "two-way: %s cannot block here with these arguments: nothing may block at an instance to which "+
			"clients write at the other one as well", b.cmd.Name))
	}
	sh := s.sh
	id, keys := s.takenFrom(b)
	sh.lock()
	g := sh.takers[id]
	if g == nil {
		g = &takers{sh: sh, id: id}
		g.await.Keys, g.await.Changed = keys, g.changed
		if sh.takers == nil {
			sh.takers = map[string]*takers{}
		}
		sh.takers[id] = g
	}
	t := &taker{b: b, fresh: g.unlike(b)}
	if b.cmd.Name == "XREADGROUP" {
		t.look, t.pause = time.Now().Add(lookMin), lookMin
	}
	g.waiting = append(g.waiting, t)
	b.issued, b.again = true, false
	s.blocks = b
	sh.leaveLine(b)
	g.next()
	sh.unlock()
	alive = s.awaitTaking(g, t, forms)
	sh.lock()
	g.leave(t)
	sh.unlock()
	return alive
}

// takenFrom names those who wait for the same as b, and the keys.
func (s *session) takenFrom(b *blocking) (id string, keys []ledger.Hash) {
	named := s.blockedOn(b).Keys
	kind := byte('l')
	switch b.cmd.Name {
	case "BLMOVE", "BRPOPLPUSH":
		named = named[:min(1, len(named))] // not where it goes to
	case "BZPOPMIN", "BZPOPMAX", "BZMPOP":
		kind = 'z'
	case "BLPOP", "BRPOP", "BLMPOP":
	default:
		kind = 0 // what one of these finds says nothing of what another one would
	}
	name := []byte{kind}
	if kind == 0 {
		name = binary.BigEndian.AppendUint64(name, b.order)
	}
	for i := range named {
		keys = append(keys, named[i].Hash)
		name = binary.BigEndian.AppendUint64(name, named[i].Hash.Lo)
		name = binary.BigEndian.AppendUint64(name, named[i].Hash.Hi)
	}
	return string(name), keys
}

// awaitTaking waits for the taker's turns until he is served, or his time is over.
func (s *session) awaitTaking(g *takers, t *taker, forms []form) (alive bool) {
	b, sh := t.b, s.sh
	look := func() (until time.Time) {
		now := time.Now()
		switch {
		case t.look.IsZero():
		case !now.Before(t.look):
			t.pause = min(2*t.pause, lookMax)
			t.look = now.Add(t.pause)
			sh.lock()
			g.changed()
			sh.unlock()
		}
		return t.look
	}
	try := func() (over, alive bool) {
		sh.lock()
		g.begins()
		sh.unlock()
		fresh := t.fresh
		served, alive := s.tryForms(b, forms)
		sh.lock()
		g.tried(t, served)
		sh.unlock()
		switch {
		case served || !alive:
			return true, alive
		case b.failed != nil && (fresh || !b.outlasts()):
			return true, s.answer(b.failed)
		}
		return false, true
	}
	return s.awaitTurns(b, look, func() bool { return g.turn == t }, try)
}

// tryForms tries one form after the other until one is served or refused.
func (s *session) tryForms(b *blocking, forms []form) (served, alive bool) {
	b.failed = nil
	for _, f := range forms {
		if served, alive = s.tryForm(b, f); served || !alive || b.failed != nil {
			b.failed = inItsName(b.failed, f.cmd.Name, b.cmd.Name)
			break
		}
	}
	return served, alive
}

// inItsName makes the refusal of a form that of the command, to a user who may not run it.
func inItsName(refusal []byte, form, command string) []byte {
	if !bytes.HasPrefix(refusal, []byte("-NOPERM")) {
		return refusal
	}
	return bytes.Replace(refusal, []byte("'"+strings.ToLower(form)+"'"), []byte("'"+strings.ToLower(command)+"'"), 1)
}

// outlasts reports whether a client who waits already goes on to wait in spite of the error that his try got: a key of another
// type is nothing to him. (One who moves elements is told so of where they go.)
func (b *blocking) outlasts() bool {
	return bytes.HasPrefix(b.failed, []byte("-WRONGTYPE")) && b.cmd.Name != "BLMOVE" && b.cmd.Name != "BRPOPLPUSH"
}

// unlike reports whether nobody waits by the same command in the same name. Else that one's try says what is wrong with it, and
// one more might get what comes in that moment, before those who wait.
func (g *takers) unlike(b *blocking) bool {
	for _, t := range g.waiting {
		if t.like(b) {
			return false
		}
	}
	return true
}

func (t *taker) like(b *blocking) bool { return t.b.cmd == b.cmd && t.b.sess.who == b.sess.who }

// changed is told by the ledger that one of the keys may have changed.
func (g *takers) changed() {
	g.told = true
	g.next()
}

// next gives the turn to the first, if there may be something, or to one who tries at once. The ledger is not called:
// it may be calling.
func (g *takers) next() {
	if g.turn != nil || g.sh.held {
		return
	}
	for _, t := range g.waiting {
		if g.told || t.fresh {
			g.turn, t.b.trying = t, true
			t.b.sess.nudge()
			return
		}
	}
}

// begins is told that whose turn it is is about to try: what changes from now on is news.
func (g *takers) begins() {
	g.told = false
	g.sh.ledger.Await(&g.await)
}

// tried ends the turn of t. What has changed since it began has been told.
func (g *takers) tried(t *taker, served bool) {
	if t.fresh && t.b.failed != nil {
		for _, other := range g.waiting {
			other.fresh = other.fresh || other.like(t.b) // each is told the same
		}
	}
	t.fresh = false
	if served {
		t.b.sess.blocks = nil
		g.told = true // there may be more
		g.drop(t)
	}
	g.endTurn(t)
}

func (g *takers) endTurn(t *taker) {
	if g.turn != t {
		return
	}
	g.turn, t.b.trying = nil, false
	g.sh.news.tell()
	g.next()
}

// patience is how long a write waits for its keys before it is looked what keeps it: one that is tried in place of a command that
// blocks is answered in that one's time, that there is nothing.
func (sh *Shard) patience(r *request) time.Duration {
	if b := r.tries; b != nil && sh.opt.TwoWay && !b.forever {
		return min(sh.opt.PrimaryWait, max(time.Until(b.until), 0))
	}
	return sh.opt.PrimaryWait
}

// leave takes t out, whose session has done with it.
func (g *takers) leave(t *taker) {
	if g.turn == t {
		g.told = true // whatever became of his try
	}
	g.drop(t)
	g.endTurn(t)
	if len(g.waiting) == 0 {
		g.sh.ledger.StopAwait(&g.await)
		if g.sh.takers[g.id] == g { // who was served before may leave when others have come
			delete(g.sh.takers, g.id)
		}
	}
}

func (g *takers) drop(t *taker) {
	for i, other := range g.waiting {
		if other == t {
			copy(g.waiting[i:], g.waiting[i+1:])
			g.waiting[len(g.waiting)-1] = nil
			g.waiting = g.waiting[:len(g.waiting)-1]
			return
		}
	}
}
