package proxy

import (
	"bytes"

	"tandem/internal/resp"
)

// execReply is EXEC's reply as it is read, element by element. Its header says how many commands there were, and that
// is not how many replies follow: a command that subscribes is answered once for each channel, and servers before 7.2
// write what the connection hears meanwhile (messages, invalidations, lines of MONITOR) in between.
//
//	*3                           commands: INCR n, SUBSCRIBE a b, PUBLISH a x
//	:1                           piece of part 0
//	>3 subscribe a 1             piece of part 1
//	>3 subscribe b 2             piece of part 1
//	>3 message a x               piece of no part
//	:1                           piece of part 2
type execReply struct {
	parts []part
	subs  subscriptions // as the confirmations leave them
	// monitoring: lines of MONITOR may come, as soon as this is set.
	monitoring bool
	inBetween  bool // the server writes what comes unasked in between

	begun    bool // the header is there
	over     bool // all of it is
	size     int  // of what is there
	at       int  // the part that is being answered
	confirms int  // how many more confirmations it gets, 0 when its first is still to come
	pieces   []execPiece
}

// execPiece is one reply in EXEC's: of a part, by its number, or noPart.
type execPiece struct{ part, from, to int }

// allChannels stands for the number of channels of an UNSUBSCRIBE that names none.
const allChannels = -1

// noPart is what no command of the transaction was answered.
const noPart = -1

// reading is how the reply to r is read, nil if it is read as any.
func (r *request) reading() *execReply {
	if r == nil || r.exec == nil || r.exec.over {
		return nil
	}
	return r.exec
}

// take reads the next reply, and reports whether it was the last.
func (x *execReply) take(b []byte) (last bool) {
	from := x.size
	x.size += len(b)
	switch {
	case !x.begun:
		x.begun = true
		x.over = b[0] != '*' || isNull(b) || len(x.parts) == 0
		return x.over
	case x.unasked(b):
		x.pieces = append(x.pieces, execPiece{noPart, from, x.size})
		return false
	}
	x.pieces = append(x.pieces, execPiece{x.at, from, x.size})
	p := &x.parts[x.at]
	if kind, name := confirmation(b, p); kind != "" {
		if x.confirms == 0 {
			x.confirms = x.expected(kind, p)
		}
		x.subs.confirm(kind, name)
		if x.confirms--; x.confirms > 0 {
			return false
		}
	}
	if p.cmd.Name == monitorName {
		x.monitoring = x.monitoring || b[0] == '+'
	}
	x.at++
	x.over = x.at == len(x.parts)
	return x.over
}

// confirmation is what b confirms to a command that subscribes, or ends subscriptions; nothing for others, and for
// an error.
func confirmation(b []byte, p *part) (kind string, name []byte) {
	if p.channels == 0 || b[0] != '>' && b[0] != '*' {
		return "", nil
	}
	return messageKind(b)
}

// expected is how many confirmations such a command gets, before the first of them.
func (x *execReply) expected(kind string, p *part) int {
	if p.channels != allChannels {
		return p.channels
	}
	set, _ := x.subs.of(kind)
	if set == nil {
		return 1
	}
	return max(1, len(*set)) // the server confirms each that there is, or says once that there is none
}

// unasked tells what no command of the transaction was answered.
func (x *execReply) unasked(b []byte) bool {
	switch b[0] {
	case '>':
		kind, _ := messageKind(b)
		set, _ := x.subs.of(kind)
		return set == nil
	case '+':
		return x.monitoring && isMonitorLine(b)
	case '*':
		return x.inBetween && x.subs.hears(b)
	}
	return false
}

// hears reports whether b is a message, in RESP2, of one of the channels or patterns.
func (u *subscriptions) hears(b []byte) bool {
	kind, name := messageKind(b)
	set := map[string]map[string]struct{}{"message": u.channels, "pmessage": u.patterns, "smessage": u.sharded}[kind]
	_, there := set[string(name)]
	return there
}

// readsExec reports whether EXEC's reply must be read element by element.
func (s *session) readsExec(tx *transaction) bool {
	for i := range tx.parts {
		switch p := &tx.parts[i]; {
		case p.channels != 0, p.cmd.Name == monitorName, p.cmd.Name == "HELLO":
			return true
		}
	}
	return s.pins&pinMonitor != 0
}

// newExecReply is for the reply of a transaction that the session is about to execute.
func (s *session) newExecReply(tx *transaction) *execReply {
	s.sh.lock()
	defer s.sh.unlock()
	return &execReply{parts: tx.parts, subs: s.subs.clone(), monitoring: s.pins&pinMonitor != 0,
		inBetween: !s.sh.env.Primary.DefersMessages()}
}

// splitExec finds the pieces of an EXEC's reply of n elements that is there whole. ok is false if it has another
// number.
func splitExec(reply []byte, n int) (pieces []execPiece, ok bool) {
	at, part := bytes.IndexByte(reply, '\n')+1, 0
	var f resp.Framer
	for at < len(reply) {
		m, done, err := f.Feed(reply[at:])
		if err != nil || !done {
			return nil, false
		}
		p := execPiece{part, at, at + m}
		if reply[at] == '>' {
			p.part = noPart
		} else {
			part++
		}
		pieces = append(pieces, p)
		at += m
	}
	return pieces, part == n
}

// execPieces are those of the reply to r, an EXEC that has run.
func (r *request) execPieces(reply []byte) (pieces []execPiece, ok bool) {
	if r.exec != nil {
		return r.exec.pieces, r.exec.over
	}
	return splitExec(reply, len(r.parts))
}

// execElements are what the commands of the transaction r were answered, undecoded: of several replies to one command
// the last.
func (r *request) execElements(reply []byte) (elements [][]byte, ok bool) {
	if r.exec == nil {
		return splitArray(reply, len(r.parts))
	}
	if !r.exec.over {
		return nil, false
	}
	elements = make([][]byte, len(r.parts))
	for _, p := range r.exec.pieces {
		if p.part != noPart {
			elements[p.part] = reply[p.from:p.to]
		}
	}
	return elements, true
}
