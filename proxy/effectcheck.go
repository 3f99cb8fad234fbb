package proxy

import (
	"errors"
	"fmt"
	"net"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/ledger"
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
	db      int32
	bytes   int
	at      int64
	name    string
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

func (r *awaitedRing) pop() {
	r.buf[r.head] = awaited{}
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
}

// read takes the secondary's replies until the connection breaks.
func (e *EffectLane) read(conn net.Conn) error {
	filled, scanned, unit := 0, 0, 0
	var ends []int
	defer func() {
		if len(e.buf) > laneBuffer {
			e.buf = make([]byte, laneBuffer)
		}
	}()
	for {
		if filled == len(e.buf) {
			if unit > 0 {
				filled = copy(e.buf, e.buf[unit:filled])
				for i := range ends {
					ends[i] -= unit
				}
				scanned, unit = scanned-unit, 0
			} else if len(e.buf) >= maxAnswer {
				return fmt.Errorf("%s: %w", e.inst, errEndless)
			} else {
				e.buf = append(e.buf, make([]byte, len(e.buf))...)
			}
		}
		n, err := conn.Read(e.buf[filled:])
		filled += n
		if n > 0 {
			e.sh.lock()
			if e.conn != conn {
				e.sh.unlock()
				return errors.New("closed")
			}
			now := time.Now().UnixNano()
			e.progress.Store(now)
			e.heard = now
			var ferr error
			for scanned < filled {
				if e.awaited.n == 0 {
					ferr = errUnasked
					break
				}
				n, done, err := e.framer.Feed(e.buf[scanned:filled])
				if err != nil {
					ferr = err
					break
				}
				scanned += n
				if !done {
					break
				}
				ends = append(ends, scanned)
				if a := e.awaited.front(); len(ends) == a.replies() {
					if ferr = e.judge(a, unit, ends, now); ferr != nil {
						break
					}
					ends = ends[:0]
					unit = scanned
				}
			}
			e.sh.openGates()
			e.sh.unlock()
			if ferr != nil {
				return fmt.Errorf("%s: %w", e.inst, ferr)
			}
			if unit == filled {
				filled, scanned, unit = 0, 0, 0
				if len(e.buf) > 16*laneBuffer {
					e.buf = make([]byte, laneBuffer)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.inst, err)
		}
	}
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
	copied, name := a.copied, a.name
	if !copied {
		e.lagBytes -= a.bytes
	}
	e.noteRefusal(a, v == ledger.Good, why, now)
	open := a.block && leftOpen(e.buf[ends[len(ends)-2]:ends[len(ends)-1]])
	e.awaited.pop()
	crashpoint.Reach(crashpoint.BeforeAck)
	v = e.sh.ledger.Acked(v, why)
	crashpoint.Reach(crashpoint.Acked)
	if v == ledger.Differs && !copied {
		e.sh.counts.MismatchedBy[name]++
	}
	switch {
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
		return ledger.Refused, fmt.Sprintf("database %d: %s", a.db, text(reply))
	case !a.block:
		return a.check(0, e.buf[unit:ends[0]])
	}
	exec := e.buf[ends[len(ends)-2]:ends[len(ends)-1]]
	elements, ok := splitArray(exec, int(a.guards+a.n))
	if !ok {
		if reply := firstError(e.buf, unit, ends); reply != nil {
			return ledger.Differs, text(reply) // says more than EXEC's
		}
		return ledger.Differs, text(exec)
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
