package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/loop"
	"tandem/internal/resp"
)

const (
	// stallLimit is how long the secondary may neither take nor answer a byte, while something is on the way,
	// before its connection is given up.
	stallLimit = 60 * time.Second
	// writePiece is how much is written before it is noted that the secondary takes what it is sent.
	writePiece = 1 << 20
)

// EffectLane is the one connection on which effects and copies reach the secondary, in order. It is the
// ledger's Sink (effectsink.go), and checks every reply (effectcheck.go).
//
// Effects that would make more than MaxLagBytes wait are refused, so a slow or stalled secondary costs
// bounded memory and no client any time. Copies are bounded by the copier's own window.
type EffectLane struct {
	sh   *Shard
	inst *instance.Instance
	what string
	// latency counts how long effects take until they are acknowledged; under the shard's lock.
	latency *Timing

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	// under the shard's lock
	conn     net.Conn
	up       bool
	shut     bool // nobody may begin to write any more
	writing  bool // somebody does, with w
	due      bool // it is written out at the end of a loop's round
	out      outbox
	w        writing
	awaited  awaitedRing
	db       int             // selected on the connection, -1 if that is not known
	dbs      []bool          // those that can be selected
	loaded   map[string]bool // scripts that this connection has loaded, by name
	lagBytes int             // of effects that are not acknowledged
	skew     time.Duration
	facts    instance.Facts
	lastErr  string
	refusal  refusal
	longest  longest
	heard    int64  // when it was last answered, or nothing was awaited, Unix nanoseconds
	large    bool   // something large is being written
	frame    []byte // scratch
	shadows  int    // clients' reads that are on their way

	progress atomic.Int64  // when the secondary last took or answered something, Unix nanoseconds
	wake     chan struct{} // there is something to write

	trouble   complaint // of the goroutine that connects
	elsewhere int       // see lane.elsewhere

	writers sync.WaitGroup // who may be writing

	// of the reader
	buf                   []byte
	filled, scanned, unit int   // of buf: bytes read, bytes framed, start of the unit in progress
	ends                  []int // of its replies
	framer                resp.Framer
}

// NewEffectLane returns a lane to an instance, not yet started.
func (sh *Shard) NewEffectLane(i *instance.Instance, f instance.Facts) *EffectLane {
	e := &EffectLane{
		sh: sh, inst: i, what: "effects", facts: f, db: -1, latency: &sh.timingsOf(i).Effects,
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

// Ready reports whether a copy that is read now would be sent. The lock is held. (ledger.Sink, where it is asked)
func (e *EffectLane) Ready() bool { return e.up && !e.sh.copiesHeld && e.refusal.ready() }

// Lag returns the bytes of effects that are not acknowledged. The lock is held.
func (e *EffectLane) Lag() int { return e.lagBytes }

// Facts returns what the secondary last said of itself, and why it is not connected. The lock is held.
func (e *EffectLane) Facts() (f instance.Facts, problem string) { return e.facts, e.lastErr }

// run keeps the lane connected.
func (e *EffectLane) run() {
	e.keepConnected()
	e.sh.lock()
	e.fail()
	e.sh.unlock()
}

func (e *EffectLane) keepConnected() {
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
		e.trouble.failed(e.sh.opt.Log, "effect lane lost", err, "instance", e.inst.String())
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
	conn = e.sh.loops.Take(conn)
	ctx, cancel := context.WithCancel(e.ctx)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer cancel()
	// What an old connection still has in the server's buffers would land after what this one sends.
	_, err = e.inst.EnsureDead(ctx, func(other string) bool { return other != name && e.supersedes(other) }, e.sh.opt.Settle)
	if err != nil {
		_ = conn.Close()
		return err
	}
	facts, err := e.inst.Facts(ctx)
	if err != nil {
		_ = conn.Close()
		return err
	}
	err = sameServer(ctx, conn, e.inst, facts, &e.elsewhere)
	if err == nil {
		err = loaded(ctx, conn)
	}
	var dbs []bool
	if err == nil {
		dbs, err = e.selectable(conn)
	}
	var told int64
	if err == nil {
		told, err = e.inst.Longest(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return err
	}
	e.sh.lock()
	e.facts, e.lastErr, e.dbs, e.longest.told = facts, "", dbs, told
	e.sh.opt.OnConnect(e.inst, facts)
	e.conn, e.up, e.shut, e.db = conn, true, false, -1
	e.loaded = map[string]bool{}
	e.progress.Store(time.Now().UnixNano())
	e.framer.Reset()
	if e.sh.effects == e {
		e.sh.publish()
		e.sh.ledger.OweEverywhere("the secondary was away")
		e.sh.ledger.Wake(e.sh.opt.At.Other())
		e.sh.openGates()
	}
	e.sh.unlock()
	e.trouble.over(e.sh.opt.Log, "effect lane connected again", "instance", e.inst.String(), "run_id", facts.RunID)

	e.writers.Go(func() { e.write(ctx, conn) })
	err = e.read(conn)
	cancel()
	_ = conn.Close()
	e.sh.lock()
	e.shut = true
	e.sh.unlock()
	e.writers.Wait()
	e.sh.lock()
	if e.up {
		e.learnLongest(int64(e.awaited.longest()), false)
	}
	e.fail()
	e.sh.unlock()
	return err
}

// supersedes reports whether a connection must be dead before this lane speaks: an effect lane before it, one
// of an earlier process, a lane to this instance from when it was a primary that was given up.
func (e *EffectLane) supersedes(name string) bool {
	id, what, generation, ok := instance.ParseConnName(name)
	switch {
	case !ok || id != e.sh.opt.ID:
		return false
	case what == e.what:
		return true
	case strings.HasPrefix(what, lanePrefix) && e.sh.gaveUp(e.inst, generation):
		return true
	}
	return e.sh.oldName(name)
}

// selectable asks which databases the secondary has, of those that are migrated: an effect behind a SELECT
// that fails would change another one.
func (e *EffectLane) selectable(conn net.Conn) ([]bool, error) {
	e.sh.lock()
	n := e.sh.env.DBs
	e.sh.unlock()
	var b []byte
	for db := range n {
		b = redcon.AppendBulkInt(append(b, selectFrame...), int64(e.inst.Number(db)))
	}
	_ = conn.SetDeadline(time.Now().Add(stallLimit))
	defer func() { _ = conn.SetDeadline(time.Time{}) }()
	if _, err := conn.Write(b); err != nil {
		return nil, fmt.Errorf("%s: SELECT: %w", e.inst, err)
	}
	dbs := make([]bool, n)
	e.framer.Reset()
	start, scanned, filled := 0, 0, 0
	for db := 0; db < n; {
		if filled == len(e.buf) {
			filled = copy(e.buf, e.buf[start:filled])
			start, scanned = 0, scanned-start
		}
		got, err := conn.Read(e.buf[filled:])
		filled += got
		if err != nil {
			return nil, fmt.Errorf("%s: SELECT: %w", e.inst, err)
		}
		for scanned < filled && db < n {
			m, done, err := e.framer.Feed(e.buf[scanned:filled])
			if err != nil {
				return nil, fmt.Errorf("%s: SELECT: %w", e.inst, err)
			}
			if scanned += m; !done {
				break
			}
			dbs[db] = e.buf[start] == '+'
			start = scanned
			db++
		}
	}
	return dbs, nil
}

// fail forgets what was on the way: its keys become dirty.
func (e *EffectLane) fail() {
	if !e.up {
		return
	}
	e.up, e.conn = false, nil
	if e.sh.effects == e && e.ctx.Err() == nil {
		e.sh.counts.EffectLanesLost++
	}
	e.out.reset()
	e.tellLost()
	e.awaited = awaitedRing{}
	e.shadows = 0
	e.lagBytes = 0
	if e.refusal.standing() {
		e.refusal.next = 0 // the next connection finds out for itself, at once
	}
	if e.sh.effects == e {
		e.sh.ledger.SinkLost(e.sh.opt.At.Other())
		e.sh.openGates()
	}
}

var errStalled = errors.New("nothing was taken or answered for " + strconv.Itoa(int(stallLimit/time.Second)) + " s")

// write writes out what is queued, until the connection breaks.
func (e *EffectLane) write(ctx context.Context, conn net.Conn) {
	stall := time.NewTicker(stallLimit / 4)
	defer stall.Stop()
	for e.writeOut(nil, conn) {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-stall.C:
			e.sh.lock()
			since := e.silentSince()
			stalled := since != 0 && time.Now().UnixNano()-since > int64(stallLimit)
			e.sh.unlock()
			if stalled {
				e.sh.opt.Log.Warn("effect lane stalled", "instance", e.inst.String(), "error", errStalled)
				_ = conn.Close()
				return
			}
		}
	}
}

func (e *EffectLane) wakeWriter() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// AtEnd writes out what the replies of a round have led to. (loop.Late)
func (e *EffectLane) AtEnd(t *loop.Turn) {
	e.sh.lock()
	e.due = false
	conn := e.conn
	if conn == nil || e.shut {
		e.sh.unlock()
		return
	}
	e.writers.Add(1)
	e.sh.unlock()
	e.writeOut(t, conn)
	e.writers.Done()
}

// writeOut writes out what is queued, unless somebody is doing so. In a turn it steps aside if that takes time. It reports
// false when the connection is of no more use.
func (e *EffectLane) writeOut(t *loop.Turn, conn net.Conn) bool {
	e.sh.lock()
	if e.writing {
		e.sh.unlock()
		return true
	}
	for e.conn == conn && e.out.unsent > 0 {
		e.out.take(&e.w)
		e.large = e.w.n > writePiece
		e.writing = true
		e.sh.unlock()
		crashpoint.Reach(crashpoint.EffectSend)
		err := loop.ErrNotYet
		if !e.large {
			err = e.w.try(conn)
		}
		if err == loop.ErrNotYet {
			t.StepAside()
			err = e.w.inPieces(conn, stallLimit, &e.progress)
		}
		crashpoint.Reach(crashpoint.EffectSent)
		e.sh.lock()
		e.writing = false
		if e.large {
			e.large, e.heard = false, time.Now().UnixNano()
		}
		e.w.done(&e.out)
		if err != nil {
			e.sh.unlock()
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				_ = conn.Close()
			} // else the reader finds out as well, behind what the server has said before
			return false
		}
	}
	alive := e.conn == conn
	e.sh.unlock()
	return alive
}
