package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"tandem/internal/resp"
)

// outcome is what a transaction that has run is to its session, and the reply that the client gets: EXEC's, with our
// own answers in their places. Everything is under the lock, before the next reply of the lane is looked at.
type outcome struct {
	s  *session
	ln *lane

	reply  []byte
	resp3  bool // the protocol, as far as the reply goes
	mode   replyMode
	skip   bool // the reply to the next command is not wanted
	killed bool // it has ended its own session

	// later are answers that cannot be had under the lock. If there are any, the session itself hands the reply on.
	later []later
}

// later is an answer that belongs into a reply at a place.
type later struct {
	at   int
	make func() []byte
}

// concernsSession reports whether EXEC's reply must be there whole, because what it says concerns the session.
func (tx *transaction) concernsSession() bool {
	for i := range tx.parts {
		if p := &tx.parts[i]; p.selects || p.concern != nil || p.channels != 0 {
			return true
		}
	}
	return false
}

// switchesReplies reports whether a CLIENT REPLY is among the commands.
func (tx *transaction) switchesReplies() bool {
	return slices.ContainsFunc(tx.parts, func(p part) bool { return p.cmd.Name == "CLIENT REPLY" })
}

// executed looks at EXEC's reply and returns what the client gets now. It is called under the lock, when the effect has
// been made.
func (tx *transaction) executed(o *outcome, r *request, reply []byte) []byte {
	s := o.s
	o.ln, o.resp3, o.mode = r.lane, s.resp3, s.reply
	if reply[0] != '*' || isNull(reply) {
		return o.wanted(reply)
	}
	pieces, ok := r.execPieces(reply)
	if !ok {
		s.close(PrimaryProtocol) // what the server keeps for this connection is not known any more
		return nil
	}
	o.add(reply[:bytes.IndexByte(reply, '\n')+1])
	db, foreseen := s.db, true
	for _, piece := range pieces {
		if o.killed {
			break
		}
		element := reply[piece.from:piece.to]
		if piece.part == noPart {
			o.add(element)
			continue
		}
		switch p := &tx.parts[piece.part]; {
		case p.selects && element[0] == '+':
			args := resp.Args(tx.block[p.from:p.to], nil)
			db, _ = strconv.Atoi(string(args[1]))
			foreseen = foreseen && db == p.db
		case p.selects:
			foreseen = foreseen && p.db == noDB
		case p.concern != nil:
			element = p.concern.executed(o, element)
		}
		o.add(element)
	}
	if !foreseen && r.writes && s.sh.dual {
		s.sh.ledger.OweSweep("a transaction has written to another database than was foreseen", 0)
	}
	s.db, o.ln.db = db, db
	s.resp3, o.ln.resp3 = o.resp3, o.resp3
	if r.exec != nil {
		s.takeSubscriptions(o.ln, r.exec.subs)
	}
	s.pinStates()
	s.stateChanges++
	s.reply = o.mode
	if o.skip && o.mode != replyOff {
		s.reply = replySkipNext
	}
	s.tell()
	if len(o.later) > 0 {
		return nil
	}
	return o.reply
}

// add appends to the reply, unless the client does not want it.
func (o *outcome) add(b []byte) { o.reply = append(o.reply, o.wanted(b)...) }

func (o *outcome) wanted(b []byte) []byte {
	if o.mode == replyOff || o.mode == replySkip {
		return nil
	}
	return b
}

// replies is CLIENT REPLY. Only ON is answered.
func (o *outcome) replies(mode replyMode) []byte {
	switch {
	case mode == replyOn:
		o.mode = replyOn
		return []byte("+OK\r\n")
	case mode == replyOff:
		o.mode = replyOff
	case o.mode != replyOff:
		o.skip = true
	}
	return nil
}

// answerLater has an answer made when the lock is free.
func (o *outcome) answerLater(answer func() []byte) {
	l := later{at: len(o.reply), make: answer}
	if o.wanted(pingFrame) == nil {
		l.make = func() []byte { answer(); return nil }
	}
	o.later = append(o.later, l)
}

// finish hands the client what executed could not, and ends the session if it has ended itself. The lock is not held.
// False: the session has ended.
func (o *outcome) finish() bool {
	s := o.s
	if len(o.later) > 0 {
		var reply []byte
		at := 0
		for _, l := range o.later {
			reply = append(append(reply, o.reply[at:l.at]...), l.make()...)
			at = l.at
		}
		if reply = append(reply, o.reply[at:]...); len(reply) > 0 {
			r := s.request()
			r.canned = reply
			s.batch = append(s.batch, r)
		}
	}
	if o.killed {
		return s.sayGoodbye(Killed)
	}
	return s.submit()
}

// takeSubscriptions makes subs the session's, as a transaction has left them. The lock is held.
func (s *session) takeSubscriptions(ln *lane, subs subscriptions) {
	s.subs = subs
	s.listens(ln)
}

// pinStates has the session keep its lane if the server keeps something for it. The lock is held.
func (s *session) pinStates() {
	s.pins &^= pinState
	for i := range s.state {
		if s.state[i].name != monitorName {
			s.pins |= pinState
		}
	}
}
