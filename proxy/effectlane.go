package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"github.com/tidwall/redcon"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// stallLimit is how long the secondary may leave something unanswered before its connection is given up.
const stallLimit = 60 * time.Second

// EffectLane is the one connection on which effects and copies reach the secondary, in order. It is the
// ledger's Sink, and checks every reply.
//
// Effects that would make more than MaxLagBytes wait are refused, so a slow or stalled secondary costs
// bounded memory and no client any time. Copies are bounded by the copier's own window.
type EffectLane struct {
	sh   *Shard
	inst *instance.Instance
	what string

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	// under the shard's lock
	conn     net.Conn
	up       bool
	out      outbox
	w        writing
	awaited  awaitedRing
	db       int // selected on the connection
	lagBytes int // of effects that are not acknowledged
	skew     time.Duration
	facts    instance.Facts
	lastErr  string
	progress int64  // when something was last acknowledged, Unix nanoseconds
	frame    []byte // scratch

	wake chan struct{} // there is something to write

	// of the reader
	buf    []byte
	framer resp.Framer
}

// awaited is what the replies to one effect or copy should be. Replies come as: a +OK for SELECT if select
// is set; then, without block, n replies to check; with block +OK, a +QUEUED for each command, and an array
// of guards PTTLs and the n replies to check.
type awaited struct {
	one     router.Expect
	many    []router.Expect // instead of one, if n > 1
	n       int
	guards  int
	selects bool
	block   bool
	copied  bool
	bytes   int
	at      int64
	name    string
}

// replies is how many replies belong to it.
func (a *awaited) replies() int {
	n := a.n
	if a.block {
		n = 1 + a.guards + a.n + 1
	}
	if a.selects {
		n++
	}
	return n
}

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

// NewEffectLane returns a lane to an instance, not yet started.
func (sh *Shard) NewEffectLane(i *instance.Instance, f instance.Facts) *EffectLane {
	e := &EffectLane{
		sh: sh, inst: i, what: "effects", facts: f, db: -1,
		wake: make(chan struct{}, 1), buf: make([]byte, laneBuffer),
	}
	e.ctx, e.cancel = context.WithCancel(sh.ctx)
	return e
}

// Start begins to connect, and keeps the lane connected until Stop.
func (e *EffectLane) Start() { e.work.Go(e.run) }

// Stop ends the lane; what it had not sent is lost and its keys become dirty.
func (e *EffectLane) Stop() {
	e.cancel()
	e.work.Wait()
}

// Problem says why the lane is not connected.
func (e *EffectLane) Problem() string {
	e.sh.lock()
	defer e.sh.unlock()
	return e.lastErr
}

// Instance returns the secondary.
func (e *EffectLane) Instance() *instance.Instance { return e.inst }

// Up reports whether the lane is connected. The lock is held.
func (e *EffectLane) Up() bool { return e.up }

// Lag returns the bytes of effects that are not acknowledged. The lock is held.
func (e *EffectLane) Lag() int { return e.lagBytes }

// Facts returns what the secondary last said of itself, and why it is not connected. The lock is held.
func (e *EffectLane) Facts() (f instance.Facts, problem string) { return e.facts, e.lastErr }

// Append queues the effect of a write. (ledger.Sink)
func (e *EffectLane) Append(w *ledger.Write, le *ledger.Effect) bool {
	if !e.up {
		return false
	}
	p := le.Payload.(*payload)
	if p.n == 0 || len(p.expects) != p.n {
		return false // nothing that could be acknowledged: the keys are copied
	}
	size := len(p.frames)
	if e.lagBytes+size > e.sh.opt.MaxLagBytes && e.lagBytes > 0 {
		return false
	}
	for _, g := range le.Guard {
		if int(w.Keys[g].DB) != p.db {
			return false // its PTTL would need another database; a copy needs none
		}
	}
	a := awaited{n: p.n, bytes: size, at: p.at, name: p.name, guards: len(le.Guard)}
	a.block = a.guards > 0 || p.n > 1
	if p.n == 1 {
		a.one = p.expects[0]
	} else {
		a.many = append([]router.Expect(nil), p.expects...)
	}
	a.selects = e.selectDB(p.db)
	if a.block {
		e.put(multiFrame)
		for _, g := range le.Guard {
			e.frame = redcon.AppendBulk(append(e.frame[:0], pttlFrame...), w.Keys[g].Name)
			e.put(e.frame)
		}
	}
	e.put(p.frames)
	if a.block {
		e.put(execFrame)
	}
	e.lagBytes += size
	e.awaited.push(a)
	e.kick()
	return true
}

var (
	multiFrame = []byte("*1\r\n$5\r\nMULTI\r\n")
	execFrame  = []byte("*1\r\n$4\r\nEXEC\r\n")
	pttlFrame  = []byte("*2\r\n$4\r\nPTTL\r\n")
)

// AppendCopy queues the state of one key. (ledger.Sink)
func (e *EffectLane) AppendCopy(c *ledger.Copy, s *ledger.State) bool {
	if !e.up {
		return false
	}
	a := awaited{n: 1, copied: true, at: e.sh.now, name: "RESTORE"}
	a.selects = e.selectDB(int(c.Key.DB))
	b := e.frame[:0]
	if s.Missing {
		b = append(b, "*2\r\n$6\r\nUNLINK\r\n"...)
		b = redcon.AppendBulk(b, c.Key.Name)
		e.frame = b
		e.put(b)
	} else {
		a.one = router.ExpectOK()
		if s.ExpireAt != 0 {
			b = append(b, "*6\r\n$7\r\nRESTORE\r\n"...)
		} else {
			b = append(b, "*5\r\n$7\r\nRESTORE\r\n"...)
		}
		b = redcon.AppendBulk(b, c.Key.Name)
		b = redcon.AppendBulkInt(b, s.ExpireAt)
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(s.Payload)), 10)
		b = append(b, '\r', '\n')
		if len(s.Payload) < handover {
			b = append(b, s.Payload...)
		} else {
			e.put(b)
			// The string is read only and so is what is sent of it.
			e.out.append(unsafe.Slice(unsafe.StringData(s.Payload), len(s.Payload)), true, false)
			b = b[:0]
		}
		b = append(b, "\r\n$7\r\nREPLACE\r\n"...)
		if s.ExpireAt != 0 {
			b = append(b, "$6\r\nABSTTL\r\n"...)
		}
		e.frame = b
		e.put(b)
	}
	e.awaited.push(a)
	e.kick()
	return true
}

func (e *EffectLane) put(b []byte) { e.out.append(b, false, false) }

// selectDB makes db the connection's database.
func (e *EffectLane) selectDB(db int) bool {
	if db == e.db {
		return false
	}
	e.db = db
	e.frame = redcon.AppendBulkInt(append(e.frame[:0], "*2\r\n$6\r\nSELECT\r\n"...), int64(db))
	e.put(e.frame)
	return true
}

func (e *EffectLane) kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run keeps the lane connected.
func (e *EffectLane) run() {
	defer func() {
		e.sh.lock()
		e.fail()
		e.sh.unlock()
	}()
	pause := retryMin
	for e.ctx.Err() == nil {
		began := time.Now()
		err := e.serve()
		if e.ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = retryMin
		}
		e.sh.lock()
		e.lastErr = err.Error()
		e.sh.unlock()
		e.sh.opt.Log.Warn("effect lane lost", "instance", e.inst.String(), "error", err, "retry_in", pause)
		select {
		case <-e.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMax)
	}
}

// serve connects and carries effects until the connection breaks.
func (e *EffectLane) serve() error {
	name := e.sh.ConnName(e.what)
	conn, _, err := e.inst.Open(e.ctx, name, 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer cancel()
	// What an old connection still has in the server's buffers would land after what this one sends.
	_, err = e.inst.EnsureDead(ctx, func(other string) bool {
		id, what, _, ok := instance.ParseConnName(other)
		return ok && id == e.sh.opt.ID && what == e.what && other != name || e.sh.oldName(other)
	}, e.sh.opt.Settle)
	if err != nil {
		_ = conn.Close()
		return err
	}
	facts, err := e.inst.Facts(ctx)
	if err != nil {
		_ = conn.Close()
		return err
	}
	e.sh.lock()
	e.facts, e.lastErr = facts, ""
	e.sh.opt.OnConnect(e.inst, facts)
	if e.sh.effects == e {
		e.sh.env.Secondary = facts.Server
	}
	e.conn, e.up, e.db, e.progress = conn, true, -1, time.Now().UnixNano()
	e.framer.Reset()
	e.sh.ledger.Wake()
	e.sh.unlock()

	var writer sync.WaitGroup
	writer.Go(func() { e.write(ctx, conn) })
	err = e.read(conn)
	cancel()
	_ = conn.Close()
	writer.Wait()
	e.sh.lock()
	e.fail()
	e.sh.unlock()
	return err
}

// fail forgets what was on the way: its keys become dirty.
func (e *EffectLane) fail() {
	if !e.up {
		return
	}
	e.up, e.conn = false, nil
	e.out.reset()
	e.awaited = awaitedRing{}
	e.lagBytes = 0
	if e.sh.effects == e {
		e.sh.ledger.SecondaryLost()
		e.sh.openGates()
	}
}

// write writes out what is queued, until the connection breaks.
func (e *EffectLane) write(ctx context.Context, conn net.Conn) {
	stall := time.NewTicker(stallLimit / 4)
	defer stall.Stop()
	for {
		e.sh.lock()
		if e.conn != conn {
			e.sh.unlock()
			return
		}
		e.out.take(&e.w)
		e.sh.unlock()
		if e.w.n > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(stallLimit))
			err := e.w.to(conn)
			e.sh.lock()
			e.w.done(&e.out)
			e.sh.unlock()
			if err != nil {
				_ = conn.Close()
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-stall.C:
			e.sh.lock()
			stalled := e.awaited.n > 0 && time.Now().UnixNano()-e.progress > int64(stallLimit)
			e.sh.unlock()
			if stalled {
				_ = conn.Close()
				return
			}
		}
	}
}

// read takes the secondary's replies until the connection breaks.
func (e *EffectLane) read(conn net.Conn) error {
	filled, scanned, unit := 0, 0, 0
	var ends []int
	for {
		if filled == len(e.buf) {
			if unit > 0 {
				filled = copy(e.buf, e.buf[unit:filled])
				for i := range ends {
					ends[i] -= unit
				}
				scanned, unit = scanned-unit, 0
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
			e.progress = now
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
					e.judge(a, unit, ends, now)
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
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.inst, err)
		}
	}
}

// judge compares the replies to one effect with what they should be, and tells the ledger.
func (e *EffectLane) judge(a *awaited, unit int, ends []int, now int64) {
	v, why := e.verdict(a, unit, ends, now)
	if v != ledger.Good && !a.copied {
		e.sh.counts.MismatchedBy[a.name]++
	}
	if !a.copied {
		e.lagBytes -= a.bytes
	}
	e.awaited.pop()
	e.sh.ledger.Acked(v, why)
}

func (e *EffectLane) verdict(a *awaited, unit int, ends []int, now int64) (ledger.Verdict, string) {
	if a.selects {
		if e.buf[unit] == '-' {
			e.db = -1
			return ledger.Differs, text(e.buf[unit:ends[0]])
		}
		unit, ends = ends[0], ends[1:]
	}
	if !a.block {
		return a.check(0, e.buf[unit:ends[0]])
	}
	exec := e.buf[ends[len(ends)-2]:ends[len(ends)-1]]
	elements, ok := splitArray(exec, a.guards+a.n)
	if !ok {
		return ledger.Differs, text(exec)
	}
	for i := range a.n {
		if v, why := a.check(i, elements[a.guards+i]); v != ledger.Good {
			return v, why
		}
	}
	for _, pttl := range elements[:a.guards] {
		v, _, err := resp.Parse(pttl)
		if err != nil || v.Kind != ':' || ledger.EdgeSuspect(v.Int, time.Duration(now-a.at), e.skew) {
			return ledger.AtEdge, "close to an expiry"
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
