package proxy

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"time"

	"tandem/internal/instance"
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
	// crowdStays is how long a watcher stays when nobody waits: readers come back when they have done their work.
	crowdStays = 5 * time.Second
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
	defer func() {
		sh.lock()
		c.leave(r)
		sh.unlock()
	}()
	return s.awaitEntries(c, r)
}

// awaitEntries waits for the reader's turns.
func (s *session) awaitEntries(c *crowd, r *reader) (alive bool) {
	b, sh := r.b, s.sh
	for !s.closed.Load() {
		if now := time.Now(); !now.Before(r.look) {
			r.pause = min(2*r.pause, lookMax)
			r.look = now.Add(r.pause)
			sh.lock()
			if c.waiting[0] == r {
				c.knock()
			}
			sh.unlock()
		}
		until := r.look
		if !b.forever && b.until.Before(until) {
			until = b.until
		}
		end := s.watch(until)
		sh.lock()
		mine, verdict := c.turn == r, b.verdict
		sh.unlock()
		switch {
		case mine:
			end()
			fresh := r.fresh
			served, alive := s.tryFirst(b)
			sh.lock()
			c.tried(r, served)
			sh.unlock()
			switch {
			case served || !alive:
				return alive
			case b.failed == nil:
			case fresh:
				return s.answer(b.failed)
			default:
				reply, over, alive := s.gone(b)
				switch {
				case over || !alive:
					return alive
				case reply != nil:
					return s.answer(reply)
				}
			}
			continue
		case verdict != nil:
			end()
			return s.answer(verdict)
		case b.late():
			end()
			return s.answer(b.nothing())
		}
		alive := s.listen()
		end()
		if !alive {
			break
		}
	}
	return false
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

// watch waits for new entries as long as somebody does.
func (c *crowd) watch() {
	sh := c.sh
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		sh.lock()
		inst, ctx := sh.primary.inst, sh.primary.ctx
		sh.unlock()
		began := time.Now()
		err := c.listen(ctx, inst)
		if err == nil || sh.ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = retryMin
		}
		sh.lock()
		moved := sh.primary.inst != inst || c.renewed
		c.renewed = false
		sh.unlock()
		if !moved {
			sh.opt.Log.Debug("a stream cannot be watched", "instance", inst.String(), "error", err)
			select {
			case <-sh.ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		sh.lock()
		c.knock() // nobody has listened meanwhile
		gone := c.desert()
		sh.unlock()
		if gone {
			return
		}
	}
}

// desert forgets the crowd if it is empty. The lock is held.
func (c *crowd) desert() bool {
	if len(c.waiting) > 0 {
		return false
	}
	delete(c.sh.crowds, c.key)
	return true
}

// listen knocks whenever there is something new. It returns nil when nobody waits any more, and the crowd is
// forgotten.
func (c *crowd) listen(ctx context.Context, inst *instance.Instance) error {
	sh := c.sh
	conn, _, err := inst.Open(ctx, sh.ConnName("signal"), c.db)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	g := signal{conn: conn}
	key, last := string(c.name), ""
	var served uint64
	sh.lock()
	c.conn = conn
	sh.unlock()
	defer func() {
		sh.lock()
		c.conn = nil
		sh.unlock()
	}()
	for {
		if last == "" {
			// What is there by now, the round finds that follows; from there on, the signal tells.
			reply, err := g.ask(stallLimit, "XREVRANGE", key, "+", "-", "COUNT", "1")
			if err != nil {
				return err
			}
			if last = entryID(reply); last == "" {
				last = "0-0"
			}
			sh.lock()
			served = c.served
			c.knock()
			sh.unlock()
		}
		ms := strconv.FormatInt(lookMax.Milliseconds(), 10)
		reply, err := g.ask(lookMax+stallLimit, "XREAD", "COUNT", "1", "BLOCK", ms, "STREAMS", key, last)
		if err != nil {
			return err
		}
		id := entryID(reply)
		if reply[0] == '-' { // it is no stream at the moment
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lookMin):
			}
		}
		sh.lock()
		switch {
		case id == "":
			last = ""
		case served == c.served && len(c.waiting) > 0:
			last = "" // the last signal was of something that had been taken before: there may be many of them
		default:
			last, served = id, c.served
			c.knock()
		}
		sh.unlock()
		if gone, err := c.idle(ctx); gone || err != nil {
			return err
		}
	}
}

// idle waits while nobody does, and reports whether that has lasted.
func (c *crowd) idle(ctx context.Context) (gone bool, err error) {
	for {
		c.sh.lock()
		empty := len(c.waiting) == 0
		c.sh.unlock()
		if !empty {
			return false, nil
		}
		stays := time.NewTimer(crowdStays)
		select {
		case <-c.came:
			stays.Stop()
		case <-ctx.Done():
			stays.Stop()
			return false, ctx.Err()
		case <-stays.C:
			c.sh.lock()
			gone := c.desert()
			c.sh.unlock()
			if gone {
				return true, nil
			}
		}
	}
}

// entryID is the id of the first entry in a reply to XREVRANGE, or to XREAD of one stream; empty if there is none.
func entryID(reply []byte) string {
	for len(reply) > 0 && reply[0] == '*' {
		at := bytes.IndexByte(reply, '\n') + 1
		reply = reply[at:]
	}
	v, n, err := resp.Parse(reply)
	if err != nil || len(reply) == 0 || reply[0] != '$' {
		return ""
	}
	if rest := reply[n:]; bytes.HasPrefix(rest, []byte("*1\r\n*2\r\n")) { // that was the key
		return entryID(rest)
	}
	return string(v.Str)
}

// signal is a watcher's connection.
type signal struct {
	conn   net.Conn
	buf    []byte
	framer resp.Framer
}

// ask sends a command and returns its reply, valid until the next, which may take as long as limit.
func (g *signal) ask(limit time.Duration, command ...string) ([]byte, error) {
	_ = g.conn.SetDeadline(time.Now().Add(limit))
	if _, err := g.conn.Write(frame(command...)); err != nil {
		return nil, err
	}
	g.framer.Reset()
	for filled := 0; ; {
		if filled == len(g.buf) {
			g.buf = append(g.buf, make([]byte, max(4<<10, len(g.buf)))...)
		}
		n, err := g.conn.Read(g.buf[filled:])
		if err != nil {
			return nil, err
		}
		_, done, err := g.framer.Feed(g.buf[filled : filled+n])
		if err != nil {
			return nil, err
		}
		if filled += n; done {
			reply := g.buf[:filled]
			if filled > 64<<10 {
				g.buf = nil
			}
			return reply, nil
		}
	}
}
