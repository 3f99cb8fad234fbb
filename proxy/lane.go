package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"tandem/internal/crashpoint"
	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/loop"
	"tandem/internal/resp"
	"tandem/internal/trace"
)

// lanePrefix begins the names of all lanes to a primary.
const lanePrefix = "lane-"

const (
	// maxRounds is how often in a row one session writes out what others have added meanwhile.
	maxRounds = 64
	// flushAt is how many bytes, and flushCommands how many commands, do not wait for the end of a round: the server executes
	// them while others are read. (Measured with 50 clients and GET: at -P 16 a fifth more, at -P 64 a twentieth.)
	flushAt       = 128 << 10
	flushCommands = 256
	// The pause before another try to connect, doubling.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// lane is one ordered, multiplexed connection to the primary, for one account, protocol and database. Commands
// are appended under the shard's lock, written by whoever comes first, and answered in order.
type lane struct {
	sh *Shard
	of *upstream
	id ledger.LaneID
	laneKey
	what    string // for its name on the server
	pinned  bool   // serves one session at a time, and is not reopened
	retired bool   // closed by us
	user    *session

	// of a pinned lane
	listening  bool // it has subscriptions
	monitoring bool
	stateful   bool   // the server keeps something else for it
	multi      bool   // it was sent MULTI, and nothing yet that ends the transaction
	opening    bool   // it was sent MULTI for a transaction that was begun elsewhere, which is not answered
	name       string // by which the server lists it
	asked      int    // a client's requests, on the way, to end what blocks on it
	clientID   int64  // by which the server knows it; 0 if that is not known
	nameless   bool   // ... for the server does not tell
	deaf       bool   // it is being prepared for a session: what it says is for nobody yet
	refused    string // what the server says to a command that is part of the session's state
	fence      uint64 // the hold that its fence was sent for (see fenced)
	// undelivered: the reader is about to hand something to the client.
	undelivered atomic.Bool

	conn    net.Conn
	up      bool
	stale   bool // the connection that broke may still execute what it was sent
	writing bool
	crowded bool // sessions wait for the queue to become shorter
	held    int  // bytes of the requests in the queue
	out     outbox
	w       writing
	used    int64        // when something was last put on it, Unix nanoseconds
	due     bool         // it is written out at the end of a loop's round
	queue   requestQueue // unanswered, in order; canned answers among them
	lost    requestQueue // what was unanswered when the connection broke
	lastErr string
	trouble complaint // of the goroutine that connects
	// elsewhere is how often in a row it has connected to another server than one that was asked just then.
	elsewhere int
	heard     int64        // when something was last received, Unix nanoseconds
	wrote     atomic.Int64 // ... and when a piece of something large was last taken

	// of the reader
	buf     []byte
	filled  int // of buf: bytes read
	scanned int // ... bytes framed
	unit    int // ... start of the unit in progress
	framer  resp.Framer
	runs    []run
	ends    []int    // where the replies of the unit in progress end in buf
	torn    bool     // the beginning of the reply in progress is not in buf any more
	partial bool     // a part of the reply in progress has been passed on
	dropped bool     // ... or would have been, but the client gets nothing of it
	large   bool     // ... because it is too large to make an effect from
	passed  int      // how many bytes of it
	late    [][]byte // what came unasked in between a reply and its follow-ups
}

func (sh *Shard) newLane(u *upstream, k laneKey) *lane {
	id := sh.ledger.AddLane(sh.opt.At)
	sh.ledger.LaneDown(id)
	if u == sh.primary {
		sh.feeds.use(k.db)
	}
	return &lane{sh: sh, of: u, id: id, laneKey: k, what: fmt.Sprintf("%s%d-%d", lanePrefix, k.db, id), buf: make([]byte, sh.opt.laneBuffer)}
}

// enqueue puts a request on the lane; the lock is held, and the ledger has granted it. Somebody must flush.
func (ln *lane) enqueue(r *request) {
	r.lane = ln
	r.at = ln.sh.now
	if len(r.canned) == 0 {
		if r.blocking != nil {
			r.blocking.sent(ln, r)
		}
		if r.spell != nil {
			ln.spellOut(r)
		}
		r.raw, r.chunk = ln.out.append(r.src, r.take, true)
		ln.held += len(r.raw)
		if r.planned != nil {
			r.rebase(r.src)
		}
		r.src = nil
		switch {
		case r.queued > 0:
			r.tx.sent = r.queued
		case r.queued == isMulti:
			r.tx.begun, ln.multi = true, true
		case r.tx != nil && r.ends:
			r.tx.begun = false
		}
		ln.multi = ln.multi && !r.ends
		if r.follow > 0 {
			ln.out.append(r.follows, false, false)
		}
		if r.blocked != nil && ln.sh.dual {
			ln.sh.ledger.Block(r.blocked)
		}
	}
	ln.used = ln.sh.now
	ln.queue.push(r)
}

// flush writes out what is queued, unless somebody is doing it. The lock is not held.
func (ln *lane) flush() {
	ln.sh.lock()
	ln.flushLocked(nil)
	ln.sh.unlock()
}

// flushSoon is flushLocked, put off to the end of the round during a turn of a loop: one system call then carries the
// commands of all its sessions.
func (ln *lane) flushSoon(t *loop.Turn) {
	switch {
	case ln.writing || ln.out.unsent == 0 || ln.conn == nil:
	case ln.out.unsent < flushAt && ln.out.commands < flushCommands && (ln.due || !ln.pinned && t.Late(ln)):
		ln.due = true
	default:
		ln.flushLocked(t)
	}
}

// AtEnd writes out what a round has put on the lane. (loop.Late)
func (ln *lane) AtEnd(t *loop.Turn) {
	ln.sh.lock()
	ln.due = false
	ln.flushLocked(t)
	ln.sh.unlock()
}

// flushLocked releases the lock while it writes. Outside of a turn it first lets the sessions run that have commands to add:
// one system call then carries them all, and where there are none it costs nothing. (Measured with a goroutine for each of 50
// clients, without pipelining: 15 % less CPU per command and as much more throughput.)
func (ln *lane) flushLocked(t *loop.Turn) {
	if ln.writing || ln.out.unsent == 0 || ln.conn == nil {
		return
	}
	if t == nil {
		ln.writing = true
		ln.sh.unlock()
		runtime.Gosched()
		ln.sh.lock()
		ln.writing = false
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
		var err error
		crashpoint.Reach(crashpoint.BeforeSend)
		if ln.w.n > writePiece {
			t.StepAside()
			err = ln.w.inPieces(conn, 0, &ln.wrote)
		} else {
			err = ln.w.to(t, conn)
		}
		crashpoint.Reach(crashpoint.Sent)
		ln.sh.lock()
		ln.w.done(&ln.out)
		ln.writing = false
		if full {
			ln.sh.news.tell()
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

// run is the lane's life.
func (ln *lane) run() {
	ln.keepConnected()
	ln.sh.lock()
	ln.settleLost() // the process ends, or nothing was on the way
	if ls := ln.of.lanes[ln.laneKey]; ls != nil {
		ls.forget(ln)
	}
	ln.sh.ledger.RemoveLane(ln.id)
	ln.sh.news.tell()
	ln.sh.unlock()
}

// keepConnected keeps the lane connected as long as its instance is wanted, and somebody is there for it.
func (ln *lane) keepConnected() {
	ctx := ln.of.ctx
	pause := retryMin
	for ctx.Err() == nil {
		began := time.Now()
		err := ln.serve(ctx)
		if ctx.Err() != nil || ln.closed() || ln.deserted(ctx) {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = retryMin
		}
		if errors.Is(err, errTheirLogin) && ln.who.someone {
			ln.sh.shutOut(ln, began)
		}
		ln.trouble.failed(ln.sh.opt.Log, "lane lost", err, "instance", ln.of.inst.String(), "db", ln.db)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMax)
	}
}

// closed reports whether we have closed it: nothing was on it.
func (ln *lane) closed() bool {
	ln.sh.lock()
	defer ln.sh.unlock()
	return ln.retired
}

// deserted reports whether the lane is down and nobody is there for it. Then it also makes sure that nothing of
// it is alive.
func (ln *lane) deserted(ctx context.Context) bool {
	ln.sh.lock()
	absent := ln.who.absent()
	ln.sh.unlock()
	if !absent {
		return false
	}
	if ln.bury(ctx, "") != nil {
		return false
	}
	ln.sh.lock()
	defer ln.sh.unlock()
	// Who has come since finds it down, and has it connect.
	return ln.who.absent()
}

// bury makes sure that older connections of this lane are dead, those named name excepted.
func (ln *lane) bury(ctx context.Context, name string) error {
	sh := ln.sh
	_, err := ln.of.inst.EnsureDead(ctx, func(other string) bool {
		id, what, _, ok := instance.ParseConnName(other)
		return ok && id == sh.opt.ID && what == ln.what && other != name || sh.oldName(other)
	}, sh.opt.Settle)
	return err
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
	ln.begin(conn)
	ln.sh.news.tell()
	ln.flushLocked(nil)
	ln.sh.unlock()
	ln.trouble.over(ln.sh.opt.Log, "lane connected again", "instance", ln.of.inst.String(), "db", ln.db)
	err = ln.read(conn)
	_ = conn.Close()
	ln.sh.lock()
	ln.fail(err)
	ln.sh.unlock()
	return err
}

// errTheirLogin: those whom the lane serves are refused. (That the proxy's own credentials are, by which older
// connections are looked for, says nothing of them.)
var errTheirLogin = errors.New("")

var errLoading = errors.New("the server is loading its data")

// loaded asks on a fresh connection whether the server has its data: as long as it reads them from disk, it is
// as good as not there.
func loaded(ctx context.Context, conn net.Conn) error {
	reply, err := ask(ctx, conn, frame("PING"))
	switch {
	case err != nil:
		return fmt.Errorf("PING: %w", err)
	case bytes.HasPrefix(reply, []byte("-LOADING")):
		return errLoading
	}
	return nil
}

// begin makes conn the lane's connection. No older one is alive.
func (ln *lane) begin(conn net.Conn) {
	ln.conn, ln.up, ln.lastErr, ln.heard = conn, true, "", time.Now().UnixNano()
	ln.used = ln.heard
	ln.filled, ln.scanned, ln.unit = 0, 0, 0
	ln.framer.Reset()
	if len(ln.buf) > ln.sh.opt.laneBuffer { // it had grown for a reply that did not come
		ln.buf = make([]byte, ln.sh.opt.laneBuffer)
	}
	ln.ends, ln.torn, ln.partial, ln.dropped, ln.large, ln.passed, ln.late = ln.ends[:0], false, false, false, false, 0, nil
	ln.sh.ledger.LaneUp(ln.id)
}

// open connects, makes sure that older connections of this lane are dead, and learns what server it is.
func (ln *lane) open(ctx context.Context) (net.Conn, error) {
	sh, inst := ln.sh, ln.of.inst
	name := sh.ConnName(ln.what)
	conn, err := ln.dial(ctx, name)
	if errors.Is(err, instance.ErrCredentials) {
		return nil, fmt.Errorf("%w%w", errTheirLogin, err)
	}
	if err != nil {
		return nil, err
	}
	door, err := ln.meet(ctx, conn, name)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	facts, err := inst.Facts(ctx)
	if err == nil {
		err = sameServer(ctx, conn, inst, facts, &ln.elsewhere)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	sh.lock()
	ln.of.facts, ln.of.known, ln.of.door = facts, true, door
	sh.publish()
	sh.opt.OnConnect(inst, facts)
	sh.unlock()
	return conn, nil
}

// dial opens a connection in the name of those whom the lane serves.
func (ln *lane) dial(ctx context.Context, name string) (net.Conn, error) {
	ln.sh.lock()
	login := ln.who.login(ln.resp3)
	ln.sh.unlock()
	conn, _, err := ln.of.inst.OpenAs(ctx, login, name, ln.of.inst.Number(ln.db))
	if err != nil {
		return nil, err
	}
	return ln.sh.loops.Take(conn), nil
}

// meet prepares a new connection of a shared lane: no older one is alive, and the server has its data.
func (ln *lane) meet(ctx context.Context, conn net.Conn, name string) (door, error) {
	if err := ln.bury(ctx, name); err != nil {
		return doorUnknown, err
	}
	if err := loaded(ctx, conn); err != nil {
		return doorUnknown, err
	}
	return ln.sh.knock(ctx, ln.of.inst)
}

// fail marks the lane down. Clients with unanswered commands are closed, as a failing server would; the
// writes among those commands keep their stripes, for the old connection may execute them still.
func (ln *lane) fail(why error) {
	sh := ln.sh
	reason := PrimaryLost
	if errors.Is(why, errReply) {
		reason = PrimaryProtocol
	}
	if ln.up && !ln.retired && ln.of.ctx.Err() == nil {
		sh.counts.LanesLost++
	}
	ln.up, ln.conn = false, nil
	ln.stale = ln.stale || ln.queue.n > 0
	sh.ledger.LaneDown(ln.id)
	ln.out.reset()
	ln.held = 0
	for ln.queue.n > 0 {
		r := ln.queue.pop()
		if r.traced != nil {
			r.tellUnanswered(sh, trace.Broken)
		}
		if r.sess != nil {
			r.sess.close(reason)
		}
		if r.acquired || r.unkeyed || r.blocked != nil {
			ln.lost.push(r)
		}
	}
	if s := ln.user; s != nil {
		if s.pins&standing != 0 {
			s.close(reason)
		}
		s.wakeUp()
	}
	sh.news.tell()
}

// settleLost gives up the writes of the old connection, which is dead by now.
func (ln *lane) settleLost() {
	sh := ln.sh
	for ln.lost.n > 0 {
		r := ln.lost.pop()
		cmd := r.unkeyedPart()
		if r.unkeyed || r.blocked != nil && len(r.blocked.Keys) == 0 {
			cmd = r.cmd
		}
		if cmd != nil && sh.dual {
			sh.ledger.OweSweep("the outcome of a "+cmd.Name+" whose keys could not be told is unknown", 0)
		}
		if cmd := r.unseenPart(); cmd != nil && sh.dual {
			sh.wroteUnseen(cmd)
		}
		if r.acquired {
			sh.ledger.Unanswered(&r.write)
		}
		if r.unnamed {
			sh.ledger.EndUnnamed()
		}
		if r.blocked != nil {
			sh.ledger.Unblock(r.blocked, true)
		}
	}
	ln.stale = false
}

// oldName reports whether a connection's name is of an earlier process of the same state directory.
func (sh *Shard) oldName(name string) bool {
	id, _, generation, ok := instance.ParseConnName(name)
	return ok && id == sh.opt.ID && !strings.HasPrefix(generation, sh.opt.Generation+".")
}
