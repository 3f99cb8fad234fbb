package proxy

import (
	"bytes"
	"net"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
)

// crowd is all who wait for new entries of one stream, as readers of its groups (XREADGROUP BLOCK).
//
//	watcher ── XREAD BLOCK, of our own ──► primary      a signal: there is something new
//	   │ knock
//	   ▼
//	first of a group ── XREADGROUP, shared lane ──► primary      served, in the order of everything
//	   │ done
//	   ▼
//	the next ...
//
// If they blocked on the server, an XADD would serve one of them in its middle, and nobody could tell where in the
// order of the stream's writes that was: the stream would not be exact while anybody waits, and each entry added to
// it a copy of all of it. So nobody does. One connection of our own waits for all of them, by a command that reads
// only; what it hears is no more than a reason to try. Then they read in turn, as any write is made, and the stream
// stays exact.
//
// # The order
//
// A server serves the readers of a group in the order in which they have begun to wait. So they stand in that order
// here, one after the other tries, and one that comes later stands behind them, without trying first. When one of a
// group finds nothing, the others need not look: until the next signal, or knock, which begins another round.
//
// No entry is missed. The watcher asks for what is newer than an entry that was there before a round began; what
// is newer than that is a signal again, and what is not, the round has found.
//
// # What is not an entry
//
// That the stream or group is gone ends the wait on a server too: a write of ours that names the stream begins a
// round, and what others do is found after a while, for the first of those who wait looks again at times (from 250 ms
// on, doubling up to 30 s). It is answered as the server's version does (see gone).
//
// In a hold nobody tries; nothing is on the server that must be taken back. A time-out is ours to keep, and so is
// what CLIENT UNBLOCK asks for.
//
// Everything but listen's connection is under the shard's lock.
type crowd struct {
	sh      *Shard
	key     ledger.Hash
	name    []byte
	db      int
	waiting []*reader // in the order in which they have come
	came    chan struct{}

	round uint64            // the present one, or the last
	dry   map[string]uint64 // by group: the round in which one of it found nothing
	turn  *reader           // who tries
	again bool              // there was a knock during the round

	conn    net.Conn // the watcher's
	renewed bool     // it is to ask anew
	served  uint64   // how many were
}

// reader is one of a crowd.
type reader struct {
	b     *blocking
	group string
	fresh bool      // has not tried yet: by trying, it makes its consumer
	seen  uint64    // the last round that it took part in
	look  time.Time // when it looks by itself, if it is the first of all
	pause time.Duration
}

const (
	// defaultCrowdStays is how long a watcher stays when nobody waits: readers come back when they have done their work.
	defaultCrowdStays = 5 * time.Second
	// A reader looks by itself after lookMin, doubling up to lookMax.
	lookMin = 250 * time.Millisecond
	lookMax = 30 * time.Second
)

// readsGroup reports whether b waits for new entries of one stream, as a reader of a group.
func (b *blocking) readsGroup() bool {
	n := len(b.args)
	if b.cmd.Name != "XREADGROUP" || n < 7 || !bytes.EqualFold(b.args[1], []byte("GROUP")) ||
		string(b.args[n-1]) != ">" || !bytes.EqualFold(b.args[n-3], []byte("STREAMS")) || len(b.raw) > maxTried {
		return false
	}
	for _, word := range b.args[4 : n-3] {
		if bytes.EqualFold(word, []byte("CLAIM")) {
			return false // it also waits for what others have not acknowledged
		}
	}
	return true
}

// readGroup tries, and waits in the crowd until it is served. False: the session has ended.
func (s *session) readGroup(b *blocking) (alive bool) {
	sh, name := s.sh, b.args[len(b.args)-2]
	key := sh.ledger.Hash(s.db, name)
	sh.lock()
	first := sh.crowds[key] == nil
	sh.unlock()
	if first {
		served, alive := s.tryFirst(b)
		switch {
		case served || !alive:
			return alive
		case b.failed != nil:
			return s.answer(b.failed)
		}
	}
	sh.lock()
	c := sh.crowds[key]
	there := c != nil
	if !there {
		c = &crowd{sh: sh, key: key, name: bytes.Clone(name), db: s.db, came: make(chan struct{}, 1), dry: map[string]uint64{}}
		if sh.crowds == nil {
			sh.crowds = map[ledger.Hash]*crowd{}
		}
		sh.crowds[key] = c
		sh.work.Go(c.watch) // it begins with a knock
	}
	r := &reader{b: b, group: string(b.args[2]), fresh: !first, look: time.Now().Add(lookMin), pause: lookMin}
	c.waiting = append(c.waiting, r)
	b.issued = true
	s.blocks = b
	sh.leaveLine(b)
	select {
	case c.came <- struct{}{}:
	default:
	}
	if there {
		c.knock()
	}
	sh.unlock()
	alive = s.awaitEntries(c, r)
	sh.lock()
	c.leave(r)
	sh.unlock()
	return alive
}

// awaitEntries waits for the reader's turns.
func (s *session) awaitEntries(c *crowd, r *reader) (alive bool) {
	b, sh := r.b, s.sh
	look := func() (until time.Time) {
		if now := time.Now(); !now.Before(r.look) {
			r.pause = min(2*r.pause, lookMax)
			r.look = now.Add(r.pause)
			sh.lock()
			if c.waiting[0] == r {
				c.knock()
			}
			sh.unlock()
		}
		return r.look
	}
	try := func() (over, alive bool) {
		fresh := r.fresh
		served, alive := s.tryFirst(b)
		sh.lock()
		c.tried(r, served)
		sh.unlock()
		switch {
		case served || !alive:
			return true, alive
		case b.failed == nil:
			return false, true
		case fresh:
			return true, s.answer(b.failed)
		}
		reply, over, alive := s.gone(b)
		if reply != nil && !over && alive {
			return true, s.answer(reply)
		}
		return over || !alive, alive
	}
	return s.awaitTurns(b, look, func() bool { return c.turn == r }, try)
}

// gone is what the primary says when what the reader waits for is not there any more (see b.failed, for what it
// says to who asks for it now). Before 7.0 a reader goes on waiting for a key that is gone, and nil is returned.
func (s *session) gone(b *blocking) (reply []byte, over, alive bool) {
	server := s.sh.hints.Load().server
	if server.HasEmptyConsumers() {
		return b.failed, false, true // the command is executed again there, too
	}
	key := b.args[len(b.args)-2]
	there := false
	over, alive = s.inquire(resp.AppendArgs(nil, [][]byte{[]byte("TYPE"), key}), func(reply []byte) {
		there = string(reply) == "+stream\r\n"
	})
	switch {
	case over || !alive:
		return nil, over, alive
	case there && bytes.HasPrefix(b.failed, []byte("-NOGROUP")):
		return []byte("-NOGROUP the consumer group this client was blocked on no longer exists\r\n"), false, true
	case there:
		return b.failed, false, true
	case server.HasPExpireTime(): // 7.0
		return []byte("-UNBLOCKED the stream key no longer exists\r\n"), false, true
	}
	return nil, false, true
}

// knock begins a round, or another one after the present. The lock is held.
func (c *crowd) knock() {
	if c.turn != nil {
		c.again = true
		return
	}
	c.round++
	c.next()
}

// next gives the turn to the first who has reason to try in this round. The lock is held.
func (c *crowd) next() {
	for !c.sh.held {
		for _, r := range c.waiting {
			if r.seen < c.round && (r.fresh || c.dry[r.group] < c.round) {
				c.turn, r.seen, r.b.trying = r, c.round, true
				r.b.sess.nudge()
				return
			}
		}
		if !c.again {
			return
		}
		c.again = false
		c.round++
	}
}

// tried ends the turn of r. The lock is held.
func (c *crowd) tried(r *reader, served bool) {
	r.fresh = false
	switch {
	case served:
		c.served++
		r.b.sess.blocks = nil
	case r.b.failed == nil:
		c.dry[r.group] = c.round
	}
	if served {
		c.drop(r)
	}
	c.endTurn(r)
}

func (c *crowd) endTurn(r *reader) {
	if c.turn != r {
		return
	}
	c.turn, r.b.trying = nil, false
	c.sh.news.tell()
	c.next()
}

// leave takes r out. The lock is held.
func (c *crowd) leave(r *reader) {
	c.drop(r)
	c.endTurn(r)
}

func (c *crowd) drop(r *reader) {
	for i, other := range c.waiting {
		if other == r {
			copy(c.waiting[i:], c.waiting[i+1:])
			c.waiting[len(c.waiting)-1] = nil
			c.waiting = c.waiting[:len(c.waiting)-1]
			break
		}
	}
	if len(c.waiting) == 0 {
		clear(c.dry)
	}
}

// stir has the crowds look again for which a write may be the end of the wait, or more than a new entry. The lock is
// held.
func (sh *Shard) stir(r *request) {
	switch {
	case r.write.Kind != ledger.Plain:
		for _, c := range sh.crowds {
			c.renew()
		}
		return
	case r.cmd != nil && onlyEntries[r.cmd.Name]:
		return
	}
	for i := range r.write.Keys {
		if k := &r.write.Keys[i]; k.Write {
			if c := sh.crowds[k.Hash]; c != nil {
				c.renew()
			}
		}
	}
}

// onlyEntries are the commands that add and take away entries, and no more: the watcher hears of what is new.
var onlyEntries = map[string]bool{
	"XADD": true, "XACK": true, "XDEL": true, "XTRIM": true, "XCLAIM": true, "XAUTOCLAIM": true, "XREADGROUP": true,
	"XSETID": true, "XACKDEL": true, "XDELEX": true, "XGROUP CREATE": true, "XGROUP SETID": true,
	"XGROUP CREATECONSUMER": true, "XGROUP DELCONSUMER": true,
}

// renew begins a round, and has the watcher ask anew: the ids of what takes the stream's place may be lower. The lock
// is held.
func (c *crowd) renew() {
	c.knock()
	if c.conn != nil {
		c.renewed = true
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
}
