package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/resp"
)

const (
	laneBuffer = 64 << 10
	// maxUnit is the largest reply that is kept whole to make an effect from; the keys of a command with a
	// larger one are copied instead.
	maxUnit = 1 << 20
	// maxRounds is how often in a row one session writes out what others have added meanwhile.
	maxRounds = 64
	// The pause before another try to connect, doubling.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// lane is one ordered, multiplexed connection to the primary, for one database. Commands are appended under
// the shard's lock, written by whoever comes first, and answered in order.
type lane struct {
	sh     *Shard
	of     *upstream
	id     ledger.LaneID
	db     int
	what   string // for its name on the server
	pinned bool   // serves one session at a time, and is not reopened

	conn    net.Conn
	up      bool
	writing bool
	out     outbox
	w       writing
	queue   requestQueue // unanswered, in order; canned answers among them
	lost    requestQueue // what was unanswered when the connection broke
	lastErr string

	// of the reader
	buf     []byte
	framer  resp.Framer
	runs    []run
	ends    []int // where the replies of the unit in progress end in buf
	partial bool  // a part of the reply in progress has been passed on
	large   bool  // ... because it is too large to make an effect from
}

// run is a stretch of reply bytes for one client.
type run struct {
	sess  *session
	bytes []byte
	first bool // begins a reply
	ended int32
}

func (sh *Shard) newLane(u *upstream, db int) *lane {
	id := sh.ledger.AddLane()
	sh.ledger.LaneDown(id)
	return &lane{sh: sh, of: u, id: id, db: db, what: fmt.Sprintf("lane-%d-%d", db, id), buf: make([]byte, laneBuffer)}
}

// enqueue puts a request on the lane; the lock is held, and the ledger has granted it. Somebody must flush.
func (ln *lane) enqueue(r *request) {
	r.lane = ln
	r.at = ln.sh.now
	if len(r.canned) == 0 {
		r.raw, r.chunk = ln.out.append(r.src, r.take, true)
		if r.planned {
			r.rebase(r.src)
		}
		r.src = nil
		switch {
		case r.queued > 0:
			r.sess.tx.sent = r.queued
		case r.queued == isMulti:
			r.sess.tx.begun = true
		}
		if r.follow > 0 {
			ln.out.append(r.follows, false, false)
		}
	}
	ln.queue.push(r)
}

// flush writes out what is queued, unless somebody is doing it. The lock is not held.
func (ln *lane) flush() {
	ln.sh.lock()
	ln.flushLocked()
	ln.sh.unlock()
}

// flushLocked releases the lock while it writes.
func (ln *lane) flushLocked() {
	if ln.writing {
		return
	}
	for round := 0; ln.out.unsent > 0 && ln.conn != nil; round++ {
		if round == maxRounds {
			// The session that happens to write has a client of its own.
			go ln.flush()
			return
		}
		conn, full := ln.conn, ln.out.unsent > backlogLimit
		ln.writing = true
		ln.out.take(&ln.w)
		ln.sh.unlock()
		err := ln.w.to(conn)
		ln.sh.lock()
		ln.w.done(&ln.out)
		ln.writing = false
		if full {
			ln.sh.changed.Broadcast()
		}
		if err != nil {
			// The reader finds out too, and takes care of what was on the way.
			_ = conn.Close()
			if ln.conn == conn {
				return
			}
		}
	}
}

// run keeps the lane connected as long as its instance is wanted.
func (ln *lane) run() {
	defer func() {
		ln.sh.lock()
		ln.settleLost() // the process ends, or nothing was on the way
		ln.sh.ledger.RemoveLane(ln.id)
		ln.sh.unlock()
	}()
	ctx := ln.of.ctx
	pause := retryMin
	for ctx.Err() == nil {
		began := time.Now()
		err := ln.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = retryMin
		}
		ln.sh.opt.Log.Warn("lane lost", "instance", ln.of.inst.String(), "db", ln.db, "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMax)
	}
}

// serve connects, reads replies until the connection breaks, and leaves the lane down. What was unanswered
// is settled by the next call, once the old connection is known dead.
func (ln *lane) serve(ctx context.Context) error {
	conn, err := ln.open(ctx)
	if err != nil {
		ln.sh.lock()
		ln.lastErr = err.Error()
		ln.sh.unlock()
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	ln.sh.lock()
	ln.settleLost()
	ln.conn, ln.up, ln.lastErr = conn, true, ""
	ln.framer.Reset()
	ln.ends, ln.partial, ln.large = ln.ends[:0], false, false
	ln.sh.ledger.LaneUp(ln.id)
	ln.sh.changed.Broadcast()
	ln.flushLocked()
	ln.sh.unlock()
	err = ln.read(conn)
	_ = conn.Close()
	ln.sh.lock()
	ln.fail()
	ln.sh.unlock()
	return err
}

// open connects, makes sure that older connections of this lane are dead, and learns what server it is.
func (ln *lane) open(ctx context.Context) (net.Conn, error) {
	sh, inst := ln.sh, ln.of.inst
	name := sh.ConnName(ln.what)
	conn, _, err := inst.Open(ctx, name, ln.db)
	if err != nil {
		return nil, err
	}
	if !ln.pinned {
		_, err = inst.EnsureDead(ctx, func(other string) bool {
			id, what, _, ok := instance.ParseConnName(other)
			return ok && id == sh.opt.ID && what == ln.what && other != name || sh.oldName(other)
		}, sh.opt.Settle)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		facts, err := inst.Facts(ctx)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		sh.lock()
		ln.of.facts = facts
		sh.connected(ln.of)
		sh.opt.OnConnect(inst, facts)
		sh.unlock()
	}
	return conn, nil
}

// fail marks the lane down. Clients with unanswered commands are closed, as a failing server would; the
// writes among those commands keep their stripes, for the old connection may execute them still.
func (ln *lane) fail() {
	sh := ln.sh
	ln.up, ln.conn = false, nil
	sh.ledger.LaneDown(ln.id)
	sh.counts.LanesLost++
	ln.out.reset()
	for ln.queue.n > 0 {
		r := ln.queue.pop()
		if r.sess != nil {
			r.sess.close(PrimaryLost)
		}
		if r.acquired {
			ln.lost.push(r)
		}
	}
	sh.changed.Broadcast()
}

// settleLost gives up the writes of the old connection, which is dead by now.
func (ln *lane) settleLost() {
	for ln.lost.n > 0 {
		r := ln.lost.pop()
		ln.sh.ledger.Unanswered(&r.write)
	}
}

var errUnasked = errors.New("the server sent a reply that nobody asked for")

// read takes replies until the connection breaks.
func (ln *lane) read(conn net.Conn) error {
	filled, scanned, unit := 0, 0, 0 // in buf: bytes read, bytes framed, start of the unit in progress
	for {
		if filled == len(ln.buf) {
			if unit > 0 {
				filled = copy(ln.buf, ln.buf[unit:filled])
				ln.moveEnds(unit)
				scanned, unit = scanned-unit, 0
			} else {
				grown := make([]byte, 2*len(ln.buf))
				copy(grown, ln.buf)
				ln.buf = grown
			}
		}
		n, err := conn.Read(ln.buf[filled:])
		filled += n
		if n > 0 {
			ln.sh.lock()
			ln.sh.now = time.Now().UnixNano()
			scanned, unit, err = ln.take(filled, scanned, unit)
			if ln.sh.opt.AckBoth {
				// A gate may be opened by another goroutine as soon as the lock is free.
				ln.deliver()
				ln.sh.openGates()
			}
			ln.sh.unlock()
			ln.deliver()
			if unit == filled {
				filled, scanned, unit = 0, 0, 0
				if len(ln.buf) > 16*laneBuffer {
					ln.buf = make([]byte, laneBuffer)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", ln.of.inst, err)
		}
	}
}

func (ln *lane) moveEnds(by int) {
	for i := range ln.ends {
		ln.ends[i] -= by
	}
}

// take frames buf[scanned:filled]. A unit is all that one request is answered: the replies for the client
// and those to its follow-up reads. Of a unit that no effect is made from, what there is of it is passed on
// at once.
func (ln *lane) take(filled, scanned, unit int) (newScanned, newUnit int, err error) {
	for scanned < filled {
		r := ln.queue.head
		if r == nil {
			return scanned, unit, errUnasked
		}
		n, done, err := ln.framer.Feed(ln.buf[scanned:filled])
		if err != nil {
			return scanned, unit, err
		}
		scanned += n
		if done {
			ln.ends = append(ln.ends, scanned)
			if len(ln.ends) == r.replies+r.follow {
				ln.complete(unit)
				unit = scanned
			}
			continue
		}
		if !r.acquired || scanned-unit > maxUnit {
			ln.large = ln.large || r.acquired
			unit = ln.passOn(r, unit, scanned)
		}
	}
	return scanned, unit, nil
}

// passOn hands the client what is there of a unit that is not kept.
func (ln *lane) passOn(r *request, unit, scanned int) int {
	if len(ln.ends) >= r.replies || r.cursor && ln.sh.scanEpoch > 0 {
		return unit // follow-ups, and replies whose head is looked at
	}
	ln.addRun(r.sess, ln.buf[unit:scanned], !ln.partial, 0)
	ln.partial = true
	for i := range ln.ends {
		ln.ends[i] = scanned
	}
	return scanned
}

// complete ends the request at the head of the queue: all its replies are there.
func (ln *lane) complete(unit int) {
	sh := ln.sh
	r := ln.queue.pop()
	end := ln.ends[r.replies-1]
	reply := ln.buf[unit:end]
	if r.cursor && sh.scanEpoch > 0 && !ln.partial {
		reply = tagCursor(reply, sh.scanEpoch)
	}
	var gate gate
	if r.acquired || r.unkeyed {
		gate = sh.judge(ln, r, unit)
	}
	if r.sess != nil {
		if sh.opt.AckBoth && (gate.closed || sh.gates.holds(r.sess)) {
			sh.gates.add(r.sess, reply, !ln.partial, gate)
		} else {
			ln.addRun(r.sess, reply, !ln.partial, 1)
		}
	}
	sh.counts.Commands++
	ln.out.release(r.chunk)
	sh.freeRequest(r)
	ln.ends, ln.partial, ln.large = ln.ends[:0], false, false
	for ln.queue.n > 0 && len(ln.queue.head.canned) > 0 {
		ln.addCanned(ln.queue.pop())
	}
}

// addCanned passes on an answer of the proxy's own, whose turn has come.
func (ln *lane) addCanned(c *request) {
	sh := ln.sh
	if sh.opt.AckBoth && sh.gates.holds(c.sess) {
		sh.gates.add(c.sess, c.canned, true, gate{})
	} else {
		ln.runs = append(ln.runs, run{sess: c.sess, bytes: c.canned, first: true, ended: 1})
		c.canned = nil
	}
	sh.freeRequest(c)
}

func (ln *lane) addRun(s *session, b []byte, first bool, ended int32) {
	if n := len(ln.runs); n > 0 {
		if last := &ln.runs[n-1]; last.sess == s && last.ended > 0 && first && adjacent(last.bytes, b) {
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

// deliver hands the runs to the clients. It does not hold the lock, and waits for nobody.
func (ln *lane) deliver() {
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

// judge makes the effect of a write from its replies and gives it to the ledger.
func (sh *Shard) judge(ln *lane, r *request, unit int) gate {
	main := ln.buf[unit:ln.ends[r.replies-1]]
	if r.unkeyed {
		if r.replies > 1 {
			main = ln.buf[ln.ends[r.replies-2]:ln.ends[r.replies-1]] // EXEC's
		}
		if main[0] != '-' && sh.dual {
			sh.counts.Unkeyed++
			sh.ledger.OweSweep("the server took a "+r.cmd.Name+" whose keys could not be told", 0)
		}
		return gate{}
	}
	sh.counts.Writes++
	sh.follow = sh.follow[:0]
	for i := r.replies; i < len(ln.ends) && !ln.large; i++ {
		sh.follow = append(sh.follow, ln.buf[ln.ends[i-1]:ln.ends[i]])
	}
	var e *ledger.Effect
	switch {
	case !sh.dual: // stopped since it was sent
	case ln.large:
		e = sh.copyEffect(r)
	case len(r.parts) > 0:
		last := unit
		if r.replies > 1 {
			last = ln.ends[r.replies-2]
		}
		e = sh.blockEffect(r, ln.buf[last:ln.ends[r.replies-1]])
	default:
		e = sh.singleEffect(r, main)
	}
	out := sh.ledger.Reply(&r.write, e)
	r.acquired = false
	if !sh.opt.AckBoth || out == ledger.Unchanged {
		return gate{}
	}
	return sh.gates.of(sh, r, out)
}

// connected takes note of what server the primary is.
func (sh *Shard) connected(u *upstream) {
	if u == sh.primary {
		sh.env.Primary = u.facts.Server
		sh.publish()
	}
}

// freeRequest keeps a request for reuse.
func (sh *Shard) freeRequest(r *request) {
	r.reset()
	r.next = sh.free
	sh.free = r
}

// oldName reports whether a connection's name is of an earlier process of the same state directory.
func (sh *Shard) oldName(name string) bool {
	id, _, generation, ok := instance.ParseConnName(name)
	return ok && id == sh.opt.ID && !strings.HasPrefix(generation, sh.opt.Generation+".")
}
