package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/ledger"
	"tandem/internal/loop"
	"tandem/internal/resp"
	"tandem/internal/script"
	"tandem/router"
)

// awaited is what the replies to one effect or copy should be. Replies come as: a +OK for SELECT if selects
// is set; one to each of the scripts loaded; then, without block, n replies to check; with block +OK, a +QUEUED
// for each command, and an array of guards PTTLs and the n replies to check. With probe it is a SELECT of db and
// nothing more.
type awaited struct {
	one     router.Expect
	many    []router.Expect // instead of one, if n > 1
	n       int32
	guards  int32
	loads   int32          // scripts that are loaded in front
	record  *script.Record // of the script that is repeated
	selects bool
	block   bool
	copied  bool
	gone    bool // ... of a key that is not there any more
	probe   bool
	shadow  *shadow // a client's read, of which the ledger knows nothing
	db      int32
	bytes   int
	longest int // the longest string of it, where that may matter
	at      int64
	handed  int64 // when an effect was handed to the lane, Unix nanoseconds
	name    string
	traced  *traced
}

// replies is how many replies belong to it.
func (a *awaited) replies() int {
	n := int(a.n)
	if a.block {
		n = 1 + int(a.guards+a.n) + 1
	}
	if a.selects {
		n++
	}
	return n + int(a.loads)
}

// noDatabase is what a server answers to a SELECT of a database that it does not have.
var noDatabase = []byte("-ERR DB index is out of range")

// maxAnswer is how many bytes the secondary may answer to one effect. What the primary answered to the write was
// not longer than maxUnit.
const maxAnswer = 64 << 20

type awaitedRing struct {
	buf  []awaited
	head int
	n    int
}

func (r *awaitedRing) push(a awaited) {
	if r.n == len(r.buf) {
		grown := make([]awaited, max(256, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
		}
		r.buf, r.head = grown, 0
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = a
	r.n++
}

func (r *awaitedRing) front() *awaited { return &r.buf[r.head] }

// at is the one behind i others.
func (r *awaitedRing) at(i int) *awaited { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

// longest is the longest string among all.
func (r *awaitedRing) longest() (most int) {
	for i := range r.n {
		most = max(most, r.buf[(r.head+i)&(len(r.buf)-1)].longest)
	}
	return most
}

func (r *awaitedRing) pop() {
	r.buf[r.head] = awaited{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
}

// read takes the secondary's replies until the connection breaks.
func (e *EffectLane) read(conn net.Conn) error {
	e.filled, e.scanned, e.unit, e.ends = 0, 0, 0, e.ends[:0]
	defer func() {
		if len(e.buf) > laneBuffer {
			e.buf = make([]byte, laneBuffer)
		}
	}()
	return readReplies(conn, e.room, func(_ *loop.Turn, n int, err error) error { return e.received(conn, n, err) })
}

// room returns where the next bytes are read to.
func (e *EffectLane) room() ([]byte, error) {
	if e.filled < len(e.buf) {
		return e.buf[e.filled:], nil
	}
	switch {
	case e.unit > 0:
		e.filled = copy(e.buf, e.buf[e.unit:e.filled])
		for i := range e.ends {
			e.ends[i] -= e.unit
		}
		e.scanned, e.unit = e.scanned-e.unit, 0
	case len(e.buf) >= maxAnswer:
		e.sh.lock()
		e.endlessShadow()
		e.sh.unlock()
		return nil, fmt.Errorf("%s: %w", e.inst, errEndless)
	default:
		e.buf = append(e.buf, make([]byte, len(e.buf))...)
	}
	return e.buf[e.filled:], nil
}

// received takes n bytes that were read, and the error that came with them.
func (e *EffectLane) received(conn net.Conn, n int, err error) error {
	e.filled += n
	if n > 0 {
		e.sh.lock()
		if e.conn != conn {
			e.sh.unlock()
			return errors.New("closed")
		}
		now := time.Now().UnixNano()
		e.progress.Store(now)
		e.heard = now
		wrong := e.take(now)
		e.sh.openGates()
		e.sh.unlock()
		if wrong != nil {
			err = wrong
		}
		if e.unit == e.filled {
			e.filled, e.scanned, e.unit = 0, 0, 0
			if len(e.buf) > 16*laneBuffer {
				e.buf = make([]byte, laneBuffer)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.inst, err)
	}
	return nil
}

// take judges all replies that have come whole. The lock is held.
func (e *EffectLane) take(now int64) error {
	for e.scanned < e.filled {
		if e.awaited.n == 0 {
			return errUnasked
		}
		n, done, err := e.framer.Feed(e.buf[e.scanned:e.filled])
		if err != nil {
			return err
		}
		e.scanned += n
		if !done {
			return nil
		}
		e.ends = append(e.ends, e.scanned)
		if a := e.awaited.front(); len(e.ends) == a.replies() {
			if err := e.judge(a, e.unit, e.ends, now); err != nil {
				return err
			}
			e.ends = e.ends[:0]
			e.unit = e.scanned
		}
	}
	return nil
}

// judge compares the replies to one effect with what they should be, and tells the ledger. An error says that
// the connection must not be used any more.
func (e *EffectLane) judge(a *awaited, unit int, ends []int, now int64) error {
	if a.selects {
		if reply := e.buf[unit:ends[0]]; reply[0] == '-' {
			// A database that was there is not. What is behind this has changed another one.
			e.sh.ledger.OweSweep("the secondary refused to select a database: "+text(reply), 0)
			return fmt.Errorf("SELECT: %s", text(reply))
		}
		unit, ends = ends[0], ends[1:]
	}
	if a.shadow != nil {
		return e.judgeShadow(a, unit, ends, now)
	}
	if n := a.loads; n > 0 {
		unit, ends = ends[n-1], ends[n:] // if one of them failed, the script is not there
	}
	v, why := e.verdict(a, unit, ends, now)
	if a.record != nil && v != ledger.AtEdge {
		a.record.Went(v == ledger.Good)
	}
	if v == ledger.Differs && len(e.loaded) > 0 && noScript([]byte(why)) {
		clear(e.loaded)
	}
	copied, name, traced := a.copied, a.name, a.traced
	if !copied {
		e.lagBytes -= a.bytes
		if !a.probe {
			e.latency.add(now - a.handed)
		}
	}
	e.noteRefusal(a, v == ledger.Good, why, now)
	open := a.block && leftOpen(e.buf[ends[len(ends)-2]:ends[len(ends)-1]])
	if strings.HasPrefix(why, tooLongReply) {
		e.learnLongest(int64(a.longest), true)
	}
	e.awaited.pop()
	crashpoint.Reach(crashpoint.BeforeAck)
	v = e.sh.ledger.Acked(e.sh.opt.At.Other(), v, why)
	crashpoint.Reach(crashpoint.Acked)
	if traced != nil {
		e.sh.tellAcked(traced, v, now)
	}
	if v == ledger.Differs && !copied {
		e.sh.counts.MismatchedBy[name]++
	}
	switch {
	case strings.HasPrefix(why, tooLongReply):
		return errText(why) // it has ended the connection, too
	case open:
		return errOpen // or what is behind it would be queued, and never executed
	case loggedOut(why):
		return errText(why)
	}
	return nil
}

func (e *EffectLane) verdict(a *awaited, unit int, ends []int, now int64) (ledger.Verdict, string) {
	switch {
	case a.probe:
		reply := e.buf[unit:ends[0]]
		for len(e.dbs) <= int(a.db) {
			e.dbs = append(e.dbs, false)
		}
		e.dbs[a.db] = reply[0] == '+'
		if a.gone && bytes.HasPrefix(reply, noDatabase) {
			return ledger.Good, "" // and so the key is not there either
		}
		return ledger.Refused, fmt.Sprintf("database %d: %s", a.db, text(reply))
	case !a.block:
		return a.check(0, e.buf[unit:ends[0]])
	}
	exec := e.buf[ends[len(ends)-2]:ends[len(ends)-1]]
	elements, ok := splitArray(exec, int(a.guards+a.n))
	if !ok {
		v := ledger.Differs
		if a.copied {
			v = ledger.Refused
		}
		if reply := firstError(e.buf, unit, ends); reply != nil {
			return v, text(reply) // says more than EXEC's
		}
		return v, text(exec)
	}
	// First what an expiry may have made of it: then it may be answered in any way.
	for _, pttl := range elements[:a.guards] {
		v, _, err := resp.Parse(pttl)
		if err != nil || v.Kind != ':' || ledger.EdgeSuspect(v.Int, time.Duration(now-a.at), e.skew) {
			return ledger.AtEdge, "close to an expiry"
		}
	}
	for i := range a.n {
		if v, why := a.check(int(i), elements[a.guards+i]); v != ledger.Good {
			return v, why
		}
	}
	return ledger.Good, ""
}

func (a *awaited) check(i int, reply []byte) (ledger.Verdict, string) {
	x := a.one
	if a.many != nil {
		x = a.many[i]
	}
	switch {
	case x.Match(reply):
		return ledger.Good, ""
	case a.copied:
		return ledger.Refused, text(reply)
	}
	return ledger.Differs, text(reply)
}

// text is the beginning of a reply, for messages.
func text(reply []byte) string {
	reply = reply[:min(len(reply), 120)]
	for i, c := range reply {
		if c == '\r' {
			return string(reply[:i])
		}
	}
	return string(reply)
}
