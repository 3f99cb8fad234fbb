package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/loop"
)

const (
	laneBuffer = 64 << 10
	// maxUnit is the largest reply that is kept whole to make an effect from; the keys of a command with a
	// larger one are copied instead.
	maxUnit = 1 << 20
	// maxLate is how many pushes may come between a reply and those to its follow-up reads, which are behind it.
	maxLate = 1 << 16
	// cursorHead is more than a SCAN-family reply has before its elements.
	cursorHead = 64
	// leastReply is how many bytes a reply has at the least, but for one that is rare.
	leastReply = 4
	// fetchMax bounds how far ahead a lane looks: no further than the processor's first cache reaches.
	fetchMax = 512
)

var (
	// errReply: what came is not a reply, or not one to what was asked.
	errReply   = errors.New("the server's answers cannot be followed any more")
	errUnasked = fmt.Errorf("%w: it sent a reply that nobody asked for", errReply)
	errEndless = fmt.Errorf("%w: one that must be kept whole does not end", errReply)
	errOpen    = fmt.Errorf("%w: it may still be in a transaction that should have ended", errReply)
)

// run is a stretch of reply bytes for one client.
type run struct {
	sess  *session
	bytes []byte
	first bool // begins a reply
	ended int32
}

// readReplies reads from conn into the room that there is, and has what comes received, until one of these fails. A socket of
// a loop is read in its turns, with t; for another the caller's goroutine waits.
func readReplies(conn net.Conn, room func() ([]byte, error), received func(t *loop.Turn, n int, err error) error) error {
	c, ok := conn.(*loop.Conn)
	for !ok {
		b, err := room()
		if err != nil {
			return err
		}
		n, err := conn.Read(b)
		if err := received(nil, n, err); err != nil {
			return err
		}
	}
	over, why := false, make(chan error, 1)
	c.Handle(func(t *loop.Turn) (more bool) {
		if over {
			return false
		}
		b, err := room()
		n := 0
		if err == nil {
			if n, err = c.TryRead(b); err == loop.ErrNotYet {
				return false
			}
			err = received(t, n, err)
		}
		if err != nil {
			over = true
			why <- err
			return false
		}
		return n == len(b) || c.MoreBehind()
	})
	return <-why
}

// read takes replies until the connection breaks.
func (ln *lane) read(conn net.Conn) error { return readReplies(conn, ln.room, ln.received) }

// room returns where the next bytes are read to.
func (ln *lane) room() ([]byte, error) {
	if ln.filled < len(ln.buf) {
		return ln.buf[ln.filled:], nil
	}
	switch {
	case ln.unit > 0:
		ln.filled = copy(ln.buf, ln.buf[ln.unit:ln.filled])
		ln.moveEnds(ln.unit)
		ln.scanned, ln.unit = ln.scanned-ln.unit, 0
	case len(ln.buf) >= ln.sh.opt.MaxReply:
		return nil, fmt.Errorf("%s: %w", ln.of.inst, errEndless)
	default:
		grown := make([]byte, 2*len(ln.buf))
		copy(grown, ln.buf)
		ln.buf = grown
	}
	return ln.buf[ln.filled:], nil
}

// received takes n bytes that were read, and the error that came with them.
func (ln *lane) received(t *loop.Turn, n int, err error) error {
	ln.filled += n
	if n > 0 {
		ln.sh.lock()
		ln.sh.turn = t
		ln.sh.now = time.Now().UnixNano()
		ln.heard = ln.sh.now
		ln.fetch(min(n/leastReply, fetchMax))
		var wrong error
		ln.filled, ln.scanned, ln.unit, wrong = ln.take(ln.filled, ln.scanned, ln.unit)
		if wrong != nil {
			err = wrong
		}
		if ln.sh.opt.AckBoth {
			// A gate may be opened by another goroutine as soon as the lock is free.
			ln.deliver()
		}
		if ln.crowded && ln.queue.n < queueLimit/2 && ln.held < heldLimit/2 {
			ln.crowded = false
			ln.sh.news.tell()
		}
		ln.undelivered.Store(ln.pinned && len(ln.runs) > 0)
		ln.sh.turn = nil
		ln.sh.unlock()
		if ln.passed >= bulk {
			t.StepAside() // a client that does not read so much at once has it kept, which takes long
		}
		ln.deliver()
		if ln.pinned {
			ln.undelivered.Store(false)
		}
		if ln.unit == ln.filled {
			ln.filled, ln.scanned, ln.unit = 0, 0, 0
			clear(ln.ends)
			if size := ln.sh.opt.laneBuffer; len(ln.buf) > 16*size {
				ln.buf = make([]byte, size)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ln.of.inst, err)
	}
	return nil
}

// fetch looks ahead at the ledger's stripes of the writes that are likely to be answered by what has come.
func (ln *lane) fetch(most int) {
	if !ln.sh.dual {
		return
	}
	for r := ln.queue.head; r != nil && most > 0; r, most = r.next, most-1 {
		ln.sh.ledger.Fetch(&r.write)
	}
}

func (ln *lane) moveEnds(by int) {
	for i := range ln.ends {
		ln.ends[i] -= by
	}
}

// take frames buf[scanned:filled]. A unit is all that one request is answered: the replies for the client
// and those to its follow-up reads. Of a unit that nothing is told by, what there is of it is passed on at
// once.
func (ln *lane) take(filled, scanned, unit int) (newFilled, newScanned, newUnit int, err error) {
	for scanned < filled {
		if ln.queue.head == nil && !ln.pinned && !ln.resp3 {
			return filled, scanned, unit, errUnasked
		}
		r := ln.queue.head
		exec := r.reading()
		ln.framer.OpenArrays(exec != nil && !exec.begun)
		n, done, err := ln.framer.Feed(ln.buf[scanned:filled])
		if err != nil {
			return filled, scanned, unit, fmt.Errorf("%w: %w", errReply, err)
		}
		scanned += n
		if done {
			from := unit
			switch {
			case exec != nil:
				from += exec.size
			case len(ln.ends) > 0:
				from = ln.ends[len(ln.ends)-1]
			}
			torn := ln.torn // then b is the rest of a value, which may look like anything
			ln.torn = false
			switch b := ln.buf[from:scanned]; {
			case exec != nil && (exec.begun || !ln.unasked(b)):
				if !exec.take(b) {
					continue
				}
			case (ln.pinned || ln.resp3) && !torn && ln.unasked(b): // on a shared lane it is for nobody
				if from == unit {
					ln.push(b)
					unit = scanned
				} else {
					// In between a reply and those to its follow-up reads: behind the reply, for the client.
					if ln.late = append(ln.late, bytes.Clone(b)); len(ln.late) > maxLate {
						return filled, scanned, unit, errEndless
					}
					copy(ln.buf[from:], ln.buf[scanned:filled])
					filled, scanned = filled-len(b), from
				}
				continue
			case r == nil, b[0] == '>' && !ln.resp3 && !ln.pinned && !torn:
				return filled, scanned, unit, errUnasked
			case r.sub != nil:
				if err := ln.takeConfirmation(r, b); err != nil {
					return filled, scanned, unit, err
				}
				unit = scanned
				continue
			}
			ln.ends = append(ln.ends, scanned)
			if len(ln.ends) == r.replies+r.follow {
				err := ln.complete(unit)
				unit = scanned
				if err != nil {
					return filled, scanned, unit, err
				}
			}
			continue
		}
		if r == nil || r.sub != nil || ln.mayBeUnasked(ln.framer.Kind()) {
			continue // it is looked at whole
		}
		if !r.kept() || scanned-unit > maxUnit && !r.whole {
			ln.large = ln.large || r.kept()
			unit = ln.passOn(r, unit, scanned)
			ln.torn = unit == scanned
		}
	}
	return filled, scanned, unit, nil
}

// push hands the client what it has not asked for.
func (ln *lane) push(b []byte) {
	s := ln.user
	if s != nil && len(s.state) > 0 && b[0] == '>' {
		b = s.inOurIDs(b, brokenPush)
	}
	switch {
	case s == nil || ln.deaf:
	case ln.sh.gates.holds(s):
		ln.sh.gates.addPiece(s, b, true)
	default:
		ln.addRun(s, b, true, 0)
	}
}

// takeConfirmation passes on one of the answers to a command that subscribes or ends subscriptions.
func (ln *lane) takeConfirmation(r *request, b []byte) error {
	sh := ln.sh
	last := ln.confirmed(r, b)
	ended := int32(0)
	if last {
		ended = 1
	}
	switch {
	case r.sess == nil || r.mute && (b[0] == '-' || !sh.confirmsMuted()):
		if r.sess != nil && last {
			ln.runs = append(ln.runs, run{sess: r.sess, ended: 1})
		}
	case sh.opt.AckBoth && sh.gates.holds(r.sess) && last:
		sh.gates.add(sh, r.sess, b, true, gate{})
	case sh.opt.AckBoth && sh.gates.holds(r.sess):
		sh.gates.addPiece(r.sess, b, true)
	default:
		ln.addRun(r.sess, b, true, ended)
	}
	if !last {
		return nil
	}
	return ln.finish(ln.queue.pop(), false)
}

// passOn hands the client what is there of a unit that is not kept.
func (ln *lane) passOn(r *request, unit, scanned int) int {
	if len(ln.ends) >= r.replies {
		return unit // follow-ups
	}
	piece := ln.buf[unit:scanned]
	if r.then != nil && !ln.partial && !ln.dropped {
		piece = r.then(piece)
		ln.dropped = len(piece) == 0
	}
	if r.mute || ln.dropped {
		ln.dropped = true
		return ln.skip(scanned)
	}
	if r.cursor && ln.sh.scanEpoch > 0 && !ln.partial {
		if len(piece) < cursorHead {
			return unit
		}
		piece = tagCursor(piece, ln.sh.scanEpoch)
	}
	if ln.sh.gates.holds(r.sess) {
		ln.sh.gates.addPiece(r.sess, piece, !ln.partial)
	} else {
		ln.addRun(r.sess, piece, !ln.partial, 0)
	}
	ln.partial = true
	if ln.passed += len(piece); ln.passed >= bulk && r.sess != nil {
		r.sess.bulky = true
	}
	for i := range ln.ends {
		ln.ends[i] = scanned
	}
	return scanned
}

// skip drops what is there of a reply that the client does not want.
func (ln *lane) skip(scanned int) int {
	for i := range ln.ends {
		ln.ends[i] = scanned
	}
	return scanned
}

// complete ends the request at the head of the queue: all its replies are there. An error says that the
// connection is of no more use.
func (ln *lane) complete(unit int) error {
	sh := ln.sh
	r := ln.queue.pop()
	reply := ln.buf[unit:ln.ends[r.replies-1]]
	last := reply
	if r.replies > 1 {
		last = ln.buf[ln.ends[r.replies-2]:ln.ends[r.replies-1]]
	}
	ends := r.ends
	open := ends && !ln.large && leftOpen(last)
	if r.tx != nil && (ln.large || !r.tx.answered(r, reply)) && r.queued != 0 && sh.dual {
		sh.tookUnkeyed(r.cmd)
	}
	if r.cursor && sh.scanEpoch > 0 && !ln.partial {
		reply = tagCursor(reply, sh.scanEpoch)
	}
	// Of what has been passed on, only the end is here, in which a value may look like anything.
	if last[0] == '-' && r.writes && !ln.partial && bytes.HasPrefix(last, readOnly) {
		sh.foundReadOnly()
	}
	var gate gate
	switch {
	case r.acquired:
		crashpoint.Reach(crashpoint.Replied)
		gate = sh.judge(ln, r, unit)
		crashpoint.Reach(crashpoint.Judged)
	case r.unkeyed && sh.dual && (ln.large || sh.mayHaveRun(r.cmd, r.raw, last)):
		sh.tookUnkeyed(r.cmd)
	}
	if r.unnamed {
		sh.ledger.EndUnnamed()
	}
	if r.shadow != nil {
		if ln.partial || ln.large {
			sh.placeShadow(r.shadow, nil)
		} else {
			sh.placeShadow(r.shadow, reply)
		}
	}
	switch {
	case ln.dropped:
		reply = nil
	case r.then != nil && !ln.partial:
		reply = r.then(reply)
	}
	if r.blocked != nil {
		served := r.blocking.served && sh.dual
		sh.ledger.Unblock(r.blocked, served)
		if served && sh.opt.AckBoth {
			gate = sh.gates.of(sh, r.blocked.Keys)
		}
		if served && len(r.blocked.Keys) == 0 && sh.mayHaveRun(r.cmd, r.raw, last) {
			sh.tookUnkeyed(r.cmd)
		}
	}
	if r.traced != nil {
		answer := last
		if ln.partial || ln.dropped || ln.large {
			answer = nil
		}
		r.tellAnswer(sh, answer)
	}
	if r.sess != nil {
		sh.experienced(r, !ln.partial && (last[0] == '-' || last[0] == '!'))
	}
	switch {
	case r.sess == nil:
	case r.mute, len(reply) == 0: // nothing of it for the client
		ln.runs = append(ln.runs, run{sess: r.sess, ended: 1})
	case sh.opt.AckBoth && (gate.closed || sh.gates.holds(r.sess)):
		sh.gates.add(sh, r.sess, reply, !ln.partial, gate)
	default:
		ln.addRun(r.sess, reply, !ln.partial, 1)
	}
	ln.ends, ln.partial, ln.dropped, ln.large, ln.passed = ln.ends[:0], false, false, false, 0
	for i, b := range ln.late {
		ln.push(b)
		ln.late[i] = nil
	}
	ln.late = ln.late[:0]
	return ln.finish(r, open)
}

// finish is done with a request that is answered. open: its transaction may not have ended.
func (ln *lane) finish(r *request, open bool) error {
	sh := ln.sh
	sh.counts.Commands++
	if ln.user != nil {
		ln.user.executed(r)
	}
	ln.out.release(r.chunk)
	ln.held -= len(r.raw)
	sh.freeRequest(r)
	for ln.queue.n > 0 && len(ln.queue.head.canned) > 0 {
		ln.addCanned(ln.queue.pop())
	}
	switch {
	case open:
		ln.stateful = true // nobody else may have it
		if ln.user != nil {
			ln.user.leavePin()
		}
		return errOpen
	case ln.user != nil:
		ln.user.leavePin()
	}
	return nil
}

// addCanned passes on an answer of the proxy's own, whose turn has come.
func (ln *lane) addCanned(c *request) {
	sh := ln.sh
	if sh.gates.holds(c.sess) {
		sh.gates.add(sh, c.sess, c.canned, true, gate{})
	} else {
		ln.runs = append(ln.runs, run{sess: c.sess, bytes: c.canned, first: true, ended: 1})
		c.canned = nil
	}
	sh.freeRequest(c)
}

func (ln *lane) addRun(s *session, b []byte, first bool, ended int32) {
	if n := len(ln.runs); n > 0 {
		if last := &ln.runs[n-1]; last.sess == s && last.first && last.ended > 0 && first && adjacent(last.bytes, b) {
			last.bytes = last.bytes[:len(last.bytes)+len(b)]
			last.ended += ended
			return
		}
	}
	ln.runs = append(ln.runs, run{sess: s, bytes: b, first: first, ended: ended})
}

// adjacent reports whether b follows a in the same memory.
func adjacent(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && cap(a)-len(a) == cap(b) && cap(b) > 0 && &a[:len(a)+1][len(a)] == &b[0]
}

// deliver hands the runs to the clients. It waits for nobody.
func (ln *lane) deliver() {
	crashpoint.Reach(crashpoint.Answering)
	for i := range ln.runs {
		r := &ln.runs[i]
		if r.sess != nil {
			r.sess.out.write(r.bytes, r.first)
			r.sess.answered(r.ended)
		}
		*r = run{}
	}
	ln.runs = ln.runs[:0]
}
