package proxy

import (
	"bytes"

	"github.com/tidwall/redcon"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/internal/trace"
	"tandem/router"
)

// maxTransaction bounds what a client may queue in a transaction that comes piecemeal.
const maxTransaction = 512 << 20

// transaction is a MULTI that did not arrive together with its EXEC. It runs on a pinned lane, so that the
// replies, QUEUED and errors, are the server's own; what is queued is kept, for the effect, and to queue it
// again on another primary after a cutover.
type transaction struct {
	aborted bool   // a command did not reach the server: EXEC must fail
	unsent  bool   // MULTI itself did not: the primary was away for too long
	refusal []byte // MULTI itself did not: what the primary says to everything that would be queued

	// What the lane will be when all that is queued has been executed.
	who   *account
	resp3 bool

	// changed under the shard's lock
	parts  []part
	block  []byte
	asides [][]byte // what was refused at once, not more than maxAsides of it
	sent   int      // how many parts are on the lane
	begun  bool     // MULTI itself is
	open   bool     // the server has said so
	// unopened is what another primary, to which the session has moved, answers to MULTI, if it does not begin it.
	unopened []byte
	spoilt   bool // it has refused to queue something: EXEC fails, on another server too
}

// answered looks at the reply to a command of the transaction. It reports false when the server executed
// what it should have queued: that was a write which nobody has seen, and a sweep is owed for it. No server that has said
// +OK to MULTI does so, on the connection on which it has, and nothing is sent before it has: so such commands are not
// marked in the intent map, where EXEC is.
func (tx *transaction) answered(r *request, reply []byte) bool {
	switch {
	case r.queued == isMulti:
		tx.open = string(reply) == "+OK\r\n"
		tx.begun = tx.open
	case r.queued > 0:
		tx.spoilt = tx.spoilt || reply[0] == '-'
		return reply[0] == '-' || string(reply) == queuedReply
	}
	return true
}

// maxAsides bounds what is kept of the mistakes of a client; those of one kind have one consequence.
const maxAsides = 64

const queuedReply = "+QUEUED\r\n"

// leftOpen reports whether a connection may still be in the transaction that should have ended with this
// reply: its EXEC or DISCARD is not known to the server, say.
func leftOpen(reply []byte) bool {
	return reply[0] == '-' && !bytes.HasPrefix(reply, []byte("-EXECABORT")) && !bytes.Contains(reply, []byte("without MULTI"))
}

// queuedWhole reports whether the server has queued a transaction that travelled whole, as its replies up to
// EXEC's say: the first is buf[at:ends[0]]. A server that refuses MULTI executes the commands one by one.
func queuedWhole(buf []byte, ends []int, at int) bool {
	if string(buf[at:ends[0]]) != "+OK\r\n" {
		return false
	}
	at = ends[0]
	for _, end := range ends[1:] {
		if reply := buf[at:end]; reply[0] != '-' && string(reply) != queuedReply {
			return false
		}
		at = end
	}
	return true
}

// transaction handles MULTI, EXEC and DISCARD outside of one. False ends the session.
func (s *session) transaction(cmd *router.Command, raw []byte) bool {
	switch {
	case cmd.Name == "WATCH":
		return s.pin(pinWatch) && s.pass(cmd, raw)
	case cmd.Name == "UNWATCH" && s.pins&pinWatch != 0:
		return s.unwatch(cmd, raw)
	case cmd.Name != "MULTI" || len(s.args) != 1:
		return s.pass(cmd, raw) // the server says what is wrong with it
	}
	if s.pins == 0 {
		if r := s.wholeBlock(raw); r != nil {
			s.add(r)
			return true
		}
	}
	if !s.pin(pinTransaction) {
		return false
	}
	tx := &transaction{who: s.who, resp3: s.resp3}
	s.enterTransaction(tx)
	s.queuedParts.Store(0)
	s.addPinned(cmd, raw, isMulti)
	// The next command may be sent only when the server is known to queue it.
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	if tx.unsent {
		// It was not sent, and the client knows: but what it has sent behind it already, as one pipeline, must not be
		// executed on its own.
		s.enterTransaction(nil)
		return s.sayGoodbye(PrimaryLost)
	}
	if tx.refusal != nil {
		s.unpin(pinTransaction)
		return true
	}
	if !tx.open {
		s.enterTransaction(nil)
		s.unpin(pinTransaction)
	}
	return true
}

// unwatch is UNWATCH of a session that watches. If the server refuses it, to this user say, it watches on: so does
// the session, and its lane is nobody else's.
func (s *session) unwatch(cmd *router.Command, raw []byte) bool {
	refused := false
	if !s.askPrimary(cmd, raw, true, func(reply []byte) []byte {
		refused = reply[0] == '-'
		return reply
	}) {
		return false
	}
	if !refused && !s.refused {
		s.unwatched(pinWatch)
	}
	return true
}

// pass puts a command that changes no data on the session's lane as it is.
func (s *session) pass(cmd *router.Command, raw []byte) bool {
	if s.who == nil {
		return s.turnAway(cmd, raw, s.args)
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, s.pins != 0
	s.add(r)
	return true
}

// endTransaction gives up the pinned lane, once nothing is on it. What was watched is watched no longer.
func (s *session) endTransaction() {
	s.enterTransaction(nil)
	s.unwatched(pinTransaction | pinWatch)
}

// enterTransaction makes tx the transaction that the session is in; nil: none. A swap looks at it.
func (s *session) enterTransaction(tx *transaction) {
	s.sh.lock()
	if s.tx != nil {
		s.hold(-len(s.tx.block))
	}
	s.tx = tx
	s.sh.unlock()
}

// unwatched takes back reasons for a lane of its own, a watch among them.
func (s *session) unwatched(why pins) {
	s.sh.lock()
	s.lostWatch = false
	s.sh.unlock()
	s.unpin(why)
}

// wholeBlock looks whether the transaction that begins with the MULTI just read is there up to its EXEC. If
// so it becomes one request, which travels on the session's shared lane.
func (s *session) wholeBlock(multi []byte) *request {
	start := s.r - len(multi)
	if s.guard.Inline() {
		return nil
	}
	r := s.request()
	guard := resp.NewGuard(s.srv.Limits)
	var args [][]byte
	for at := s.r; ; {
		n, complete, err := guard.Next(s.buf[at:s.w])
		if err != nil || !complete || guard.Inline() || guard.Empty() {
			break
		}
		_, args, _, _, err = redcon.ReadNextCommand(s.buf[at:at+n], args)
		if err != nil || len(args) == 0 {
			break
		}
		cmd := router.Lookup(args)
		if cmd == nil {
			break
		}
		if cmd.Class == router.Transaction {
			if cmd.Name != "EXEC" || len(args) != 1 {
				break
			}
			s.r = at + n
			r.cmd, r.src, r.replies, r.ends = cmd, s.buf[start:s.r], len(r.parts)+2, true
			if h := s.sh.hints.Load(); r.writes && h.dual {
				s.planBlock(r, h)
			}
			return r
		}
		if !queueable(cmd) || cmd.Refuse(args) != "" || s.sh.opt.Deny.Denies(cmd) || s.untranslatable(cmd, args, true) != "" {
			break
		}
		r.parts = append(r.parts, part{cmd: cmd, from: at - start, to: at + n - start})
		r.writes = r.writes || cmd.IsWrite(args)
		at += n
	}
	r.reset()
	r.next = s.stock
	s.stock = r
	s.stocked++
	return nil
}

// inTransaction handles a command behind a piecemeal MULTI. False ends the session.
func (s *session) inTransaction(cmd *router.Command, raw []byte, args [][]byte) bool {
	if s.tx.refusal != nil {
		return s.inRefused(cmd, raw, args)
	}
	switch {
	case cmd.Name == "EXEC": // with arguments too: the server refuses those, and ends the transaction
		return s.exec(cmd, raw)
	case cmd.Name == "DISCARD" && len(args) == 1:
		s.addPinned(cmd, raw, 0).ends = true
		ok := s.submit()
		s.endTransaction()
		return ok
	case cmd.Name == "QUIT" || cmd.Name == "RESET" && s.serverSince(60200):
		return s.sessionCommand(cmd, raw, args)
	case cmd.Class == router.Transaction && cmd.Name != "UNWATCH", cmd.Name == "RESET":
		return s.refusedAtOnce(cmd, raw)
	}
	if why := cmd.Refuse(args); why != "" {
		s.tx.aborted = true
		return s.answer(errorReply(nil, "%s is not supported: %s", cmd.Name, why))
	}
	if why := s.untranslatable(cmd, args, true); why != "" {
		s.tx.aborted = true
		return s.answer(errorReply(nil, "%s %s", cmd.Name, why))
	}
	p := part{cmd: cmd, db: noDB}
	if !queueable(cmd) {
		var alive bool
		if raw, p, alive = s.queueSession(cmd, raw, args); !alive {
			return false
		}
	}
	tx := s.tx
	if len(tx.block)+len(raw) > maxTransaction {
		s.close(ProtocolError)
		return false
	}
	s.sh.lock() // a swap may be queueing what there is anew
	from := len(tx.block)
	tx.block = append(tx.block, raw...)
	p.from, p.to = from, len(tx.block)
	tx.parts = append(tx.parts, p)
	s.sh.unlock()
	s.queuedParts.Store(int32(len(tx.parts)))
	s.hold(len(raw))
	r := s.addPinned(cmd, raw, len(tx.parts))
	if cmd.CursorArg > 0 {
		r.cursor, r.epoch = true, p.concern.epoch
	}
	return true
}

// inRefused answers, as the primary would, a command of a transaction that the primary does not have. False ends the
// session.
func (s *session) inRefused(cmd *router.Command, raw []byte, args [][]byte) bool {
	refusal := s.tx.refusal
	switch {
	case cmd.Name == "EXEC":
		s.endTransaction()
		s.sh.lock()
		busy := s.sh.busy.holds()
		s.sh.unlock()
		if !busy {
			return s.answer([]byte(previousErrors))
		}
		return s.answer(discardedFor(refusal))
	case cmd.Name == "DISCARD" && len(args) == 1:
		s.endTransaction()
		return s.answer([]byte("+OK\r\n"))
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.sessionCommand(cmd, raw, args)
	}
	return s.answer(refusal)
}

const previousErrors = "-EXECABORT Transaction discarded because of previous errors.\r\n"

// discardedFor is the answer to an EXEC whose transaction was refused with this error.
func discardedFor(refusal []byte) []byte {
	return append([]byte("-EXECABORT Transaction discarded because of: "), refusal[1:]...)
}

// refusedAtOnce sends a command that no server queues. The error may abort the transaction, by the version of the
// server: so it is part of what is told to another one.
func (s *session) refusedAtOnce(cmd *router.Command, raw []byte) bool {
	if len(s.tx.asides) < maxAsides {
		s.sh.lock()
		s.tx.asides = append(s.tx.asides, bytes.Clone(raw))
		s.sh.unlock()
	}
	s.addPinned(cmd, raw, 0)
	return true
}

// exec ends the transaction: its commands' keys are acquired all at once, for only now do they run.
func (s *session) exec(cmd *router.Command, raw []byte) bool {
	tx := s.tx
	if tx.aborted {
		// The server knows nothing of the refused command and would run the rest.
		s.answer([]byte(previousErrors))
		return s.discard()
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.tx, r.ends, r.own = cmd, raw, 1, tx, true, true
	r.block, r.apart = tx.block, true
	r.parts = tx.parts
	for _, p := range tx.parts {
		args := resp.Args(tx.block[p.from:p.to], s.args[:0])
		r.writes = r.writes || p.cmd.IsWrite(args)
	}
	if h := s.sh.hints.Load(); r.writes && h.dual {
		s.planBlock(r, h)
	}
	o := &outcome{s: s}
	concerned := tx.concernsSession()
	if concerned {
		r.whole = true
		r.then = func(reply []byte) []byte { return tx.executed(o, r, reply) }
	}
	if s.readsExec(tx) {
		r.exec, r.whole = s.newExecReply(tx), true
	}
	s.add(r)
	if tx.switchesReplies() {
		r.mute = false // which of it the client wants changes within
	}
	ok := s.submit()
	if concerned {
		ok = ok && s.awaitAnswers() // the next command may be for another database
	}
	s.endTransaction()
	return ok && o.finish()
}

// runsTransaction reports whether r is an EXEC that the server would not refuse for its form.
func (r *request) runsTransaction() bool {
	return r.cmd.Name == "EXEC" && len(resp.Args(r.src, nil)) == 1
}

// execLost answers an EXEC whose watch was lost with the lane that it was on, and ends the transaction, which was
// queued on this one. Only here, with the lock held and the lane chosen, is it certain that no swap comes in
// between. False ends the session.
func (s *session) execLost(r *request, ln *lane) bool {
	ln.discard()
	r.tx.begun = false
	return s.answerInstead(r, s.null())
}

// answerInstead answers a command that is not sent, if the client wants an answer to it. False ends the session.
func (s *session) answerInstead(r *request, reply []byte) bool {
	muted := r.mute
	if r.traced != nil {
		r.tellUnanswered(s.sh, trace.Unsent)
	}
	r.reset()
	if muted {
		s.sh.freeRequest(r)
		return true
	}
	r.sess, r.canned = s, reply
	return s.submitCanned(r)
}

// discard ends the transaction on the server, when the client has its answer already.
func (s *session) discard() bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	if ln := s.pinned; ln != nil && ln.up && s.tx.open {
		ln.discard()
		s.tx.begun = false
		ln.flushLocked(s.turn)
	}
	s.sh.unlock()
	s.endTransaction()
	return true
}

// discard ends the transaction on a pinned lane, which is of no more use if the server refuses that.
func (ln *lane) discard() { ln.enqueue(&request{src: discardFrame, replies: 1, ends: true}) }

var discardFrame = frame("DISCARD")

// null is the reply of an EXEC that did not run.
func (s *session) null() []byte {
	if s.resp3 {
		return []byte("_\r\n")
	}
	return []byte("*-1\r\n")
}

// addPinned puts a command of the transaction into the batch.
func (s *session) addPinned(cmd *router.Command, raw []byte, queued int) *request {
	r := s.request()
	r.cmd, r.src, r.replies, r.tx, r.queued, r.own = cmd, raw, 1, s.tx, queued, true
	s.add(r)
	return r
}

// planBlock finds the keys of a transaction, each once, and its follow-up reads.
func (s *session) planBlock(r *request, h *hints) {
	r.planned = h
	block := r.src
	if r.apart {
		block = r.block
	}
	place := map[ledger.Hash]int{}
	db, elsewhere := s.db, false
	keys := r.write.Keys[:0]
	r.follows, r.follow = r.follows[:0], 0
	for i := range r.parts {
		p := &r.parts[i]
		p.keys, p.follow, p.barrier, p.unkeyed, p.script = nil, 0, false, false, nil
		_, args, _, _, _ := redcon.ReadNextCommand(block[p.from:], nil)
		if p.selects {
			r.write.Unnamed = true // the database may turn out to be another
		}
		if p.selects && p.db != noDB {
			db, elsewhere = p.db, true
		}
		switch first, last, ok := p.cmd.FlushedDBs(&router.Env{DB: db, DBs: h.databases}); {
		case ok && len(s.sh.flushedDBs(nil, first, last)) == 0:
			continue
		case ok:
			p.barrier = true
			if r.write.Kind == ledger.Plain {
				r.write.Kind = ledger.Flush
			}
			r.write.DBs = s.sh.flushedDBs(r.write.DBs, first, last)
			continue
		case p.cmd.Class == router.Barrier:
			if a, b, ok := p.cmd.SwapDBs(args); ok && !s.sh.swapMoves(a, b) {
				continue
			}
			p.barrier = true
			r.write.Kind = ledger.Swap
			continue
		case p.cmd.Class == router.Everywhere:
			s.sh.noteSource(p.cmd, args)
			r.write.Everywhere = true
			continue
		}
		if !p.cmd.IsWrite(args) {
			continue // what a transaction reads orders nothing
		}
		var places []router.Key
		var ok bool
		var n int
		if p.cmd.IsScript() {
			p.script, r.follows, n, ok = s.planScript(p.cmd, args, h, r.follows)
			places = s.places
		} else {
			places, ok = p.cmd.AppendKeys(s.places[:0], args)
			s.places, ok = places, ok && len(places) > 0
		}
		if !ok {
			p.unkeyed = true // the server is expected to refuse it, the others may go through
			r.write.Unnamed = true
			continue
		}
		for _, k := range places {
			key := s.keyIn(db, k, args)
			at, known := place[key.Hash]
			if !known {
				at = len(keys)
				place[key.Hash] = at
				keys = append(keys, key)
			}
			keys[at].Write = keys[at].Write || key.Write
			p.keys = append(p.keys, at)
		}
		if p.script == nil {
			r.follows, n = p.cmd.FollowUps(r.follows, args, h.server)
		}
		p.follow = n
		r.follow += n
	}
	r.write.Keys = keys
	if elsewhere {
		// What is read behind EXEC would be read of the database that it has led to, and an effect is for one:
		// all of it is copied.
		r.copies, r.follows, r.follow = true, r.follows[:0], 0
		for i := range r.parts {
			r.parts[i].follow = 0
		}
	}
}
