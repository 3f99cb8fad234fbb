package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/ledger"
	"tandem/internal/loop"
	"tandem/internal/resp"
	"tandem/router"
)

const (
	// maxInflight is how many commands of one client may be unanswered when it is asked for more.
	maxInflight = 1024
	// batchMax bounds how long one session may hold the shard's lock.
	batchMax = 512
	// stockMax, and the bounds on what else is kept for reuse, bound what a silent client costs.
	stockMax  = 16
	keptBatch = 64
	keptArgs  = 1024
	// keptDirect and keptOutput are bytes.
	keptDirect = 4 << 10
	keptOutput = 16 << 10
)

// session is one client's connection and its state. Its goroutine reads commands and submits them; replies
// reach the client by the lanes' readers.
type session struct {
	id     int64
	srv    *Server
	sh     *Shard
	conn   net.Conn
	out    output
	since  time.Time
	guard  resp.Guard
	args   [][]byte
	places []router.Key

	input            // the client's bytes
	turn  *loop.Turn // while one of a loop is under way; of whoever has it
	over  bool       // end has been called

	batch  []*request
	direct []byte // answers of our own that may be given at once

	stock   *request // free requests
	stocked int

	share    share        // of the memory for all clients
	inflight atomic.Int32 // requests whose reply is not yet with the client
	wanted   atomic.Bool  // it is to get a lane of its own (see stand)
	watching atomic.Bool  // it reads what the client sends while it waits for an answer
	acting   atomic.Bool  // it does what the client has sent, and may be waiting for whatever that needs
	closed   atomic.Bool
	reason   atomic.Uint32
	wake     chan struct{}
	done     chan struct{}

	name, libName, libVer string
	noEvict               bool     // what CLIENT NO-EVICT has set: the proxy evicts nobody
	who                   *account // nil until the client has logged in, where it must
	db                    int
	resp3                 bool
	on                    *lane  // that the last command went to
	ticket                ticket // of the write that waits; under the shard's lock
	bulky                 bool   // it has had a large command or reply; under the shard's lock
	tx                    *transaction

	// under the shard's lock
	refused bool      // the last command was answered with unreachable; of the session's goroutine only
	blocks  *blocking // the command with which it blocks, from when the server has it
	pins    pins
	pinned  *lane // its own lane, while pins says why it has one
	subs    subscriptions
	state   []stateFrame // what brings another connection to the state of the pinned one
	caching []byte       // the CLIENT CACHING that the next command is to be executed with, or nil
	// stateChanges is how often state has changed.
	stateChanges uint64
	lostWatch    bool // what it watches was lost with a cutover: its EXEC fails

	// what others may see of it
	about       atomic.Pointer[about]
	last        atomic.Pointer[router.Command]
	active      atomic.Int64 // when it last sent something, Unix nanoseconds
	kept        atomic.Int64 // when it was last seen waiting for something after a long silence, the same
	queuedParts atomic.Int32 // of its transaction

	reply replyMode
}

// laneKey is what the session's lane is for.
func (s *session) laneKey() laneKey { return laneKey{who: s.who, db: s.db, resp3: s.resp3} }

// serve is the session's goroutine, where it has one. What it gives back at its end takes the shard's lock, so it is not
// deferred: a panic that comes with the lock held must end the process, and not wait for that lock with everybody else.
func (s *session) serve() {
	for s.prepare() {
		n, err := s.input.read(s.guard.Want())
		if !s.received(n, err) {
			break
		}
	}
	s.end()
}

// prepare does what others want of the session, before it reads. False ends the session.
func (s *session) prepare() bool {
	for !s.closed.Load() {
		if t := s.srv.IdleTimeout; t > 0 && s.sock == nil {
			_ = s.conn.SetReadDeadline(time.Now().Add(t))
		}
		// Behind the deadline: who wants something now, or a drain that begins, sets one after this.
		if !s.wanted.Swap(false) {
			return !s.srv.draining.Load()
		}
		_ = s.conn.SetReadDeadline(time.Time{})
		if !s.stand() {
			return false
		}
	}
	return false
}

// received takes what a read has brought, n bytes or an error. False ends the session.
func (s *session) received(n int, err error) bool {
	if n > 0 {
		s.active.Store(time.Now().UnixNano())
		s.acting.Store(true)
		alive := s.consume()
		s.acting.Store(false)
		if !alive {
			return false
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		if s.srv.draining.Load() {
			return false
		}
		// The deadline may have been one of another purpose that came late.
		_ = s.conn.SetReadDeadline(time.Time{})
		s.endIfSilent()
	case errors.Is(err, io.EOF):
		// A client that closes its sending side still gets the answers to what it sent.
		s.awaitAnswers()
		s.flushOut()
		s.close(ClientGone)
	default:
		s.close(ClientGone)
	}
	return !s.closed.Load()
}

// endIfSilent closes the session of a client that has been silent for too long, but for one that listens, as a server does.
func (s *session) endIfSilent() {
	t, now := s.srv.IdleTimeout, time.Now()
	if t == 0 || s.silent(now) < t || s.waits() {
		return
	}
	s.sh.lock()
	listens := s.pins&(pinSubscribed|pinMonitor) != 0
	s.sh.unlock()
	if listens {
		s.kept.Store(now.UnixNano())
		return
	}
	s.close(IdleTimeout)
}

// silent is how long the client has been silent, and was not waiting for anything.
func (s *session) silent(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, max(s.active.Load(), s.kept.Load())))
}

// waits reports whether it is not the client who is silent.
func (s *session) waits() bool {
	return s.acting.Load() || s.inflight.Load() > 0 || s.watching.Load() || s.out.size() > 0
}

// end gives back what the session holds.
func (s *session) end() {
	if s.srv.draining.Load() && !s.closed.Load() {
		s.awaitAnswers()
		s.flushOut()
	}
	s.close(ShuttingDown)
	s.dropPin()
	s.sh.lock()
	s.sh.leave(s)
	s.sh.unlock()
	s.input.giveBack()
	s.srv.remove(s)
}

// close ends the session for one reason, the first. It may be called from anywhere and does not wait.
func (s *session) close(reason CloseReason) {
	if s.closed.Swap(true) {
		return
	}
	s.reason.Store(uint32(reason))
	s.srv.countClose(s, reason)
	s.out.close()
	_ = s.conn.Close()
	s.release()
	close(s.done)
}

// bound returns a context that ends with the session, and after d at the latest.
func (s *session) bound(d time.Duration) (context.Context, context.CancelFunc) {
	s.turn.StepAside() // something is about to take time
	ctx, cancel := context.WithTimeout(s.sh.ctx, d)
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// consume takes the complete commands out of buf. False ends the session.
func (s *session) consume() bool {
	for {
		n, complete, err := s.guard.Next(s.buf[s.r:s.w])
		if err != nil {
			s.noteTLS()
			return s.protocolError(err)
		}
		if !complete {
			break
		}
		raw := s.buf[s.r : s.r+n]
		s.r += n
		if s.guard.Empty() {
			continue
		}
		if s.guard.Inline() {
			if raw, err = inlineCommand(raw); err != nil {
				return s.protocolError(err)
			}
		}
		var ok bool
		ok, s.args, _, _, err = redcon.ReadNextCommand(raw, s.args)
		if err != nil || !ok {
			return s.protocolError(errUnparsed)
		}
		if len(s.args) == 0 {
			continue
		}
		if !s.command(raw, s.args) {
			return false
		}
		if len(s.batch) >= batchMax && !(s.submit() && s.mayGoOn()) {
			return false
		}
	}
	ok := s.submit() && s.mayGoOn()
	if cap(s.args) > keptArgs {
		s.args, s.places = nil, nil
	}
	clear(s.args[:cap(s.args)]) // or a client that is silent from now on keeps the memory that they were read into
	if cap(s.batch) > keptBatch {
		s.batch = nil
	}
	return ok
}

// noteTLS tells the operator when what is not Redis protocol looks like the beginning of TLS.
func (s *session) noteTLS() {
	if s.last.Load() == nil && s.w-s.r > 2 && s.buf[s.r] == 0x16 && s.buf[s.r+1] == 0x03 {
		s.srv.Log.Warn("a client speaks TLS, and this listener does not: set tls.cert_file and tls.key_file, or have it connect without",
			"addr", s.conn.RemoteAddr().String())
	}
}

var errUnparsed = errors.New("Protocol error: unreadable request")

// inlineCommand makes the array form of an inline command.
func inlineCommand(line []byte) ([]byte, error) {
	args, err := resp.SplitInline(line, nil)
	if err != nil {
		return nil, err
	}
	return resp.AppendArgs(nil, args), nil
}

// protocolError answers what came before, then the error, and ends the session, as the server does.
func (s *session) protocolError(err error) bool {
	s.answer([]byte("-ERR " + err.Error() + "\r\n"))
	return s.sayGoodbye(ProtocolError)
}

// sayGoodbye ends the session when its client has all answers. It returns false, as what ends a session does.
func (s *session) sayGoodbye(why CloseReason) bool {
	s.submit()
	s.awaitAnswers()
	s.flushOut()
	s.close(why)
	return false
}

// command decides where one command goes. False ends the session.
func (s *session) command(raw []byte, args [][]byte) bool {
	cmd := router.Lookup(args)
	s.last.Store(cmd)
	if s.reply != replyOn {
		s.nextReply()
	}
	switch {
	case s.onlySubscribed(cmd):
		return s.pass(cmd, raw) // the server says what it thinks of it
	case s.who == nil && !beforeLogin(cmd):
		if admitted, alive := s.admit(cmd, raw, args); !admitted {
			return alive
		}
		s.tell()
		return s.command(raw, args)
	case cmd == nil:
		if cmd = s.learn(args); cmd == nil {
			return s.refuse("%s is not known, and the server does not tell what it does (COMMAND INFO): name it in commands.writes",
				printable(args[0]))
		}
	}
	switch {
	case cmd.Name == "POST", cmd.Name == "HOST:":
		return s.sayGoodbye(ProtocolError) // a browser was made to send this: servers close without a word
	case s.sh.opt.Deny.Denies(cmd):
		return s.refuse("%s is denied by the configuration (commands.deny)", cmd.Name)
	case s.tx != nil:
		return s.inTransaction(cmd, raw, args)
	}
	switch cmd.Class {
	case router.Session:
		return s.sessionCommand(cmd, raw, args)
	case router.Transaction:
		return s.transaction(cmd, raw)
	case router.PubSub:
		return s.pubSub(cmd, raw, args)
	}
	switch why := cmd.Refuse(args); {
	case why != "":
		return s.answer(errorReply(nil, "%s is not supported: %s", cmd.Name, why))
	case cmd.Apart():
		return s.apart(raw)
	case cmd.Name == "INFO":
		return s.info(cmd, raw, args)
	case cmd.Blocks(args):
		return s.block(cmd, raw, args)
	case cmd.Stateful():
		return s.keepState(cmd, raw, false)
	}
	if why := s.untranslatable(cmd, args, false); why != "" {
		return s.answer(errorReply(nil, "%s %s", cmd.Name, why))
	}
	r := s.request()
	r.cmd, r.src, r.replies = cmd, raw, 1
	r.own = s.pins != 0
	if s.sh.opt.Renumbered && cmd.NamesDatabases(args) {
		spelled(r, cmd, args)
	}
	if cmd.CursorArg > 0 {
		s.scan(r, args)
	}
	r.writes = cmd.IsWrite(args)
	if h := s.sh.hints.Load(); r.writes && h.dual {
		s.plan(r, args, h)
	} else if r.writes {
		s.sh.noteSource(cmd, args)
	}
	s.add(r)
	return true
}

// refuse answers with an error. In a transaction it is missing from then on, so EXEC must fail.
func (s *session) refuse(format, name string) bool {
	if s.tx != nil {
		s.tx.aborted = true
	}
	return s.answer(errorReply(nil, format, name))
}

func printable(b []byte) string {
	b = b[:min(len(b), 64)]
	out := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '.'
		}
		out[i] = c
	}
	return string(out)
}

func (s *session) add(r *request) {
	r.mute = s.reply != replyOn && s.muted()
	r.take = len(r.src) >= handover
	s.own = s.own || r.take
	s.batch = append(s.batch, r)
}

// answer puts an answer of our own in its place among the replies.
func (s *session) answer(reply []byte) bool {
	if s.reply != replyOn && s.muted() {
		return true
	}
	r := s.request()
	r.canned = reply
	s.batch = append(s.batch, r)
	return true
}

// request takes a request from the session's stock.
func (s *session) request() *request {
	r := s.stock
	if r == nil {
		s.sh.lock()
		s.restock(stockMax)
		s.sh.unlock()
		r = s.stock
	}
	s.stock = r.next
	s.stocked--
	r.next = nil
	r.sess = s
	return r
}

// restock takes n requests from the shard's free ones. The lock is held.
func (s *session) restock(n int) {
	for ; s.stocked < n; s.stocked++ {
		r := s.sh.free
		if r == nil {
			r = &request{}
			r.reset()
		} else {
			s.sh.free = r.next
			s.sh.freed--
		}
		r.next = s.stock
		s.stock = r
	}
}

// replan plans a write that was planned in another state of things, or not at all.
func (s *session) replan(r *request, h *hints) {
	r.write.Kind, r.write.DBs, r.unkeyed = ledger.Plain, nil, false
	r.write.Everywhere, r.write.Unnamed, r.script, r.stays = false, false, nil, false
	if len(r.parts) > 0 {
		s.planBlock(r, h)
		return
	}
	_, s.args, _, _, _ = redcon.ReadNextCommand(r.src, s.args)
	s.plan(r, s.args, h)
}

// plan finds the keys of a write, for the ledger.
func (s *session) plan(r *request, args [][]byte, h *hints) {
	r.planned = h
	keys := r.write.Keys[:0]
	switch first, last, ok := r.cmd.FlushedDBs(&router.Env{DB: s.db, DBs: h.databases}); {
	case r.cmd.Class == router.Everywhere:
		s.sh.noteSource(r.cmd, args)
		r.write.Everywhere = true
		return
	case ok:
		r.write.Kind, r.write.DBs = ledger.Flush, s.sh.flushedDBs(nil, first, last)
		return
	case r.cmd.Class == router.Barrier:
		a, b, ok := r.cmd.SwapDBs(args)
		r.write.Kind, r.write.DBs = ledger.Swap, []int{a, b}
		r.unkeyed = !ok
		if ok && !s.sh.swapMoves(a, b) {
			r.write.Kind, r.write.DBs, r.writes = ledger.Plain, nil, false
		}
		return
	}
	var ok bool
	if r.cmd.IsScript() {
		r.script, r.follows, r.follow, ok = s.planScript(r.cmd, args, h, r.follows[:0])
	} else {
		s.places, ok = r.cmd.AppendKeys(s.places[:0], args)
		ok = ok && len(s.places) > 0
	}
	if !ok {
		r.unkeyed = true
		return
	}
	for _, k := range s.places {
		keys = append(keys, s.key(k, args))
	}
	r.write.Keys = keys
	if r.script == nil {
		r.follows, r.follow = r.cmd.FollowUps(r.follows[:0], args, h.server)
	}
	if s.sh.opt.Moves != nil {
		s.sortOut(r)
	}
}

func (s *session) key(k router.Key, args [][]byte) ledger.Key { return s.keyIn(s.db, k, args) }

// keyIn is a key of a command that is executed in a database.
func (s *session) keyIn(db int, k router.Key, args [][]byte) ledger.Key {
	if k.DB >= 0 {
		db = k.DB
	}
	name := args[k.Arg]
	key := ledger.Key{Hash: s.sh.ledger.Hash(db, name), Name: name, DB: int32(db), Write: k.Write}
	s.sh.markStay(&key)
	return key
}

// mayGoOn waits while the client owes more reading than it may: with very many commands unanswered, whose
// replies nobody knows the size of, until they are answered; with much kept for it, until it has read some.
func (s *session) mayGoOn() bool {
	if s.inflight.Load() >= maxInflight && !s.awaitAnswers() {
		return false
	}
	return s.out.await(s.turn)
}

// flushOut waits until the client has everything.
func (s *session) flushOut() { s.out.flush(s.turn) }

// awaitAnswers waits until the client has the replies to all that was submitted. Only then may the session
// use another lane, or a command act on the session itself.
func (s *session) awaitAnswers() bool {
	for s.inflight.Load() > 0 && !s.closed.Load() {
		s.turn.StepAside()
		select {
		case <-s.wake:
		case <-s.done:
		}
	}
	return !s.closed.Load()
}

// answered is called by the lane's reader when replies were handed to the client.
func (s *session) answered(n int32) {
	if n > 0 && s.inflight.Add(-n) == 0 {
		s.nudge()
	}
}

func (s *session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
