package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
	"tandem/router"
)

// replyMode is what CLIENT REPLY has asked for.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // the reply to the next command
	replySkip     // ... which is this one
)

// muted reports whether the client wants no reply to the command that is being read.
func (s *session) muted() bool { return s.reply == replyOff || s.reply == replySkip }

// nextReply is called before each command.
func (s *session) nextReply() {
	switch s.reply {
	case replySkipNext:
		s.reply = replySkip
	case replySkip:
		s.reply = replyOn
	}
}

// clientReply is CLIENT REPLY ON, OFF or SKIP. Only ON is answered.
func (s *session) clientReply(mode []byte) bool {
	switch strings.ToUpper(string(mode)) {
	case "ON":
		s.reply = replyOn
		return s.answer([]byte("+OK\r\n"))
	case "OFF":
		s.reply = replyOff
		return true
	case "SKIP":
		if s.reply != replyOff {
			s.reply = replySkipNext
		}
		return true
	}
	return s.answer([]byte(errSyntax))
}

// keepState sends a command by which the server keeps something for the connection: the session has a lane of
// its own from then on. What is kept is brought to another connection by the same command. With off, it takes
// back what an earlier one of that name has set.
func (s *session) keepState(cmd *router.Command, raw []byte, off bool) bool {
	if off && s.pins&pinState == 0 {
		return s.pass(cmd, raw) // nothing to take back: the server says what it thinks of it
	}
	if !s.pin(pinState) {
		return false
	}
	frame := append([]byte(nil), raw...)
	r := s.request()
	r.cmd, r.src, r.replies, r.own, r.mute = cmd, raw, 1, true, s.muted()
	r.then = func(reply []byte) []byte {
		if reply[0] == '-' {
			return reply
		}
		s.state = slices.DeleteFunc(s.state, func(f stateFrame) bool { return f.name == cmd.Name })
		if !off {
			s.state = append(s.state, stateFrame{cmd.Name, frame})
		}
		if s.pinned != nil {
			s.pinned.stateful = len(s.state) > 0
		}
		return reply
	}
	s.add(r)
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	if len(s.state) == 0 {
		s.pins &^= pinState
		s.leavePin()
	}
	s.sh.unlock()
	return true
}

// tracking is CLIENT TRACKING: invalidations come on the session's own lane, or on that of the session that
// they are redirected to, whose id the server knows by another number.
func (s *session) tracking(cmd *router.Command, raw []byte, args [][]byte) bool {
	off := len(args) > 2 && strings.EqualFold(string(args[2]), "OFF")
	for i := 3; i+1 < len(args); i++ {
		if !strings.EqualFold(string(args[i]), "REDIRECT") {
			continue
		}
		id, err := strconv.ParseInt(string(args[i+1]), 10, 64)
		if err != nil {
			break
		}
		args = slices.Clone(args)
		args[i+1] = strconv.AppendInt(nil, s.srv.serverID(id), 10)
		raw = resp.AppendArgs(nil, args)
	}
	return s.keepState(cmd, raw, off)
}

// serverID is by what id the primary knows the lane that a session has for itself; -1, which no client has, if
// it has none.
func (srv *Server) serverID(id int64) int64 {
	s := srv.byID(id)
	if s == nil {
		return -1
	}
	s.sh.lock()
	defer s.sh.unlock()
	if s.pinned == nil || s.pinned.clientID == 0 {
		return -1
	}
	return s.pinned.clientID
}

// ofServerID is the other way round: the session's id that stands behind one of the primary's.
func (srv *Server) ofServerID(id int64) int64 {
	for _, s := range srv.all() {
		s.sh.lock()
		found := s.pinned != nil && s.pinned.clientID == id
		s.sh.unlock()
		if found {
			return s.id
		}
	}
	return id
}

// getRedir is CLIENT GETREDIR, in the proxy's ids.
func (s *session) getRedir(cmd *router.Command, raw []byte) bool {
	if s.pins&pinState == 0 {
		return s.pass(cmd, raw)
	}
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, true
	var reply []byte
	r.then = func(b []byte) []byte {
		reply = append(reply, b...)
		return nil
	}
	s.add(r)
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	if len(reply) == 0 {
		return !s.closed.Load()
	}
	id, err := strconv.ParseInt(strings.TrimSpace(string(reply[1:])), 10, 64)
	if reply[0] == ':' && err == nil && id > 0 {
		reply = redcon.AppendInt(nil, s.srv.ofServerID(id))
	}
	return s.answer(reply)
}

// monitor is MONITOR: from then on the server sends a line for each command that it executes.
func (s *session) monitor(cmd *router.Command, raw []byte) bool {
	if !s.pin(pinMonitor) {
		return false
	}
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, true
	r.then = func(reply []byte) []byte {
		if ln := s.pinned; ln != nil && reply[0] == '+' {
			ln.monitoring = true
		} else {
			s.pins &^= pinMonitor
		}
		return reply
	}
	s.add(r)
	return s.submit() && s.awaitAnswers()
}

// unblock is CLIENT UNBLOCK, of another session of the proxy.
func (s *session) unblock(args [][]byte) bool {
	id, err := strconv.ParseInt(string(args[2]), 10, 64)
	if err != nil {
		return s.answer([]byte("-ERR value is not an integer or out of range\r\n"))
	}
	how := "TIMEOUT"
	if len(args) == 4 {
		how = strings.ToUpper(string(args[3]))
	}
	if how != "TIMEOUT" && how != "ERROR" || len(args) > 4 {
		return s.answer([]byte("-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"))
	}
	if !s.submit() {
		return false
	}
	other := s.srv.byID(id)
	if other == nil || other.pinsNow()&pinBlocked == 0 {
		return s.answer([]byte(":0\r\n"))
	}
	s.sh.lock()
	if ln := other.pinned; ln != nil && ln.queue.last() != nil && ln.queue.last().blocking != nil {
		ln.queue.last().blocking.asked = true
	}
	s.sh.unlock()
	ctx, cancel := s.bound(max(s.sh.opt.PrimaryWait, time.Second))
	defer cancel()
	reply, err := s.sh.control(ctx, "CLIENT", "UNBLOCK", strconv.FormatInt(s.srv.serverID(id), 10), how)
	if err != nil {
		return s.answer(errorReply(nil, "CLIENT UNBLOCK could not be sent: %v", err))
	}
	return s.answer(reply)
}

// learnID finds out by which id the server knows a pinned lane. The lock is held.
func (ln *lane) learnID() {
	ln.enqueue(&request{src: clientIDFrame, replies: 1, then: func(reply []byte) []byte {
		if reply[0] == ':' {
			ln.clientID, _ = strconv.ParseInt(string(bytes.TrimSpace(reply[1:])), 10, 64)
		}
		return nil
	}})
}

var clientIDFrame = frame("CLIENT", "ID")
