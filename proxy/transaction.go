package proxy

import (
	"github.com/tidwall/redcon"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/router"
)

// maxTransaction bounds what a client may queue in a transaction that comes piecemeal.
const maxTransaction = 512 << 20

// transaction is a MULTI that did not arrive together with its EXEC. It runs on a pinned lane, so that the
// replies, QUEUED and errors, are the server's own; what is queued is kept, for the effect, and to queue it
// again on another primary after a cutover.
type transaction struct {
	parts   []part
	block   []byte
	sent    int  // how many parts are on the lane
	begun   bool // MULTI itself is
	aborted bool // a command was refused by the proxy: EXEC must fail
}

// transaction handles MULTI, EXEC and DISCARD outside of one. False ends the session.
func (s *session) transaction(cmd *router.Command, raw []byte) bool {
	if cmd.Name != "MULTI" || len(s.args) != 1 {
		// The server says what is wrong with it.
		r := s.request()
		r.cmd, r.src, r.replies = cmd, raw, 1
		s.add(r)
		return true
	}
	if r := s.wholeBlock(raw); r != nil {
		s.add(r)
		return true
	}
	s.tx = &transaction{}
	return s.submit() && s.awaitAnswers() && s.addPinned(cmd, raw, isMulti)
}

// wholeBlock looks whether the transaction that begins with the MULTI just read is there up to its EXEC or
// DISCARD. If so it becomes one request, which travels on the session's shared lane.
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
			if cmd.Name == "MULTI" || len(args) != 1 {
				break
			}
			if cmd.Name == "DISCARD" {
				r.writes = false
			}
			s.r = at + n
			r.cmd, r.src, r.replies = cmd, s.buf[start:s.r], len(r.parts)+2
			if h := s.sh.hints.Load(); r.writes && h.dual {
				s.planBlock(r, h)
			}
			return r
		}
		if !queueable(cmd) || cmd.Refuse(args) != "" {
			break
		}
		r.parts = append(r.parts, part{cmd: cmd, from: at - start, to: at + n - start})
		r.writes = r.writes || cmd.IsWrite(args)
		at += n
	}
	r.reset()
	r.next = s.stock
	s.stock = r
	return nil
}

// queueable reports whether the server itself may queue the command: those that concern the session would
// act on the connection, which is not the session's.
func queueable(cmd *router.Command) bool {
	switch cmd.Class {
	case router.Read, router.Write, router.Barrier:
		return true
	case router.Session:
		return cmd.Name == "PING" || cmd.Name == "ECHO"
	}
	return false
}

// inTransaction handles a command behind a piecemeal MULTI. False ends the session.
func (s *session) inTransaction(cmd *router.Command, raw []byte, args [][]byte) bool {
	switch {
	case cmd.Name == "EXEC" && len(args) == 1:
		return s.exec(cmd, raw)
	case cmd.Name == "DISCARD" && len(args) == 1:
		s.tx.parts = nil
		ok := s.addPinned(cmd, raw, 0) && s.submit()
		s.tx = nil
		return ok
	case cmd.Class == router.Transaction:
		return s.addPinned(cmd, raw, 0)
	case cmd.Name == "QUIT" || cmd.Name == "RESET":
		return s.sessionCommand(cmd, args)
	case !queueable(cmd):
		s.tx.aborted = true
		return s.answer(errorReply(nil, "%s is not supported in a transaction", cmd.Name))
	}
	if why := cmd.Refuse(args); why != "" {
		s.tx.aborted = true
		return s.answer(errorReply(nil, "%s is not supported: %s", cmd.Name, why))
	}
	tx := s.tx
	if len(tx.block)+len(raw) > maxTransaction {
		s.close(ProtocolError)
		return false
	}
	from := len(tx.block)
	tx.block = append(tx.block, raw...)
	tx.parts = append(tx.parts, part{cmd: cmd, from: from, to: len(tx.block)})
	return s.addPinned(cmd, raw, len(tx.parts))
}

// exec ends the transaction: its commands' keys are acquired all at once, for only now do they run.
func (s *session) exec(cmd *router.Command, raw []byte) bool {
	tx := s.tx
	if tx.aborted {
		// The server knows nothing of the refused command and would run the rest.
		s.answer([]byte("-EXECABORT Transaction discarded because of previous errors.\r\n"))
		ok := s.submit() && s.awaitAnswers()
		s.dropPin()
		s.tx = nil
		return ok
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.pinned = cmd, raw, 1, true
	r.block, r.apart = tx.block, true
	r.parts = tx.parts
	for _, p := range tx.parts {
		args := resp.Args(tx.block[p.from:p.to], s.args[:0])
		r.writes = r.writes || p.cmd.IsWrite(args)
	}
	if h := s.sh.hints.Load(); r.writes && h.dual {
		s.planBlock(r, h)
	}
	s.add(r)
	ok := s.submit()
	s.tx = nil
	return ok
}

// addPinned puts a command of the transaction into the batch.
func (s *session) addPinned(cmd *router.Command, raw []byte, queued int) bool {
	r := s.request()
	r.cmd, r.src, r.replies, r.pinned, r.queued = cmd, raw, 1, true, queued
	s.add(r)
	return true
}

// planBlock finds the keys of a transaction, each once, and its follow-up reads.
func (s *session) planBlock(r *request, h *hints) {
	r.planned, r.epoch = true, h.epoch
	block := r.src
	if r.apart {
		block = r.block
	}
	place := map[ledger.Hash]int{}
	keys := r.write.Keys[:0]
	r.follows, r.follow = r.follows[:0], 0
	for i := range r.parts {
		p := &r.parts[i]
		p.keys, p.follow = nil, 0
		_, args, _, _, _ := redcon.ReadNextCommand(block[p.from:], nil)
		switch first, last, ok := p.cmd.FlushedDBs(&router.Env{DB: s.db, DBs: h.databases}); {
		case ok:
			r.write.Kind = ledger.Flush
			for db := first; db <= last; db++ {
				r.write.DBs = append(r.write.DBs, db)
			}
			continue
		case p.cmd.Class == router.Barrier:
			r.write.Kind = ledger.Swap
			continue
		}
		places, ok := p.cmd.AppendKeys(s.places[:0], args)
		s.places = places
		if !ok && p.cmd.IsWrite(args) {
			r.unkeyed = true
			return
		}
		if !p.cmd.IsWrite(args) {
			continue // what a transaction reads orders nothing
		}
		for _, k := range places {
			key := s.key(k, args)
			at, known := place[key.Hash]
			if !known {
				at = len(keys)
				place[key.Hash] = at
				keys = append(keys, key)
			}
			keys[at].Write = keys[at].Write || key.Write
			p.keys = append(p.keys, at)
		}
		var n int
		r.follows, n = p.cmd.FollowUps(r.follows, args, h.server)
		p.follow = n
		r.follow += n
	}
	r.write.Keys = keys
}
