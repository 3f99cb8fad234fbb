package proxy

import (
	"bytes"
	"strconv"
	"strings"

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
func (s *session) clientReply(cmd *router.Command, raw []byte, word []byte) bool {
	mode, ok := replyModeOf(word)
	switch {
	case !ok:
		return s.pass(cmd, raw) // the server says what is wrong with it
	case mode == replyOn:
		s.reply = replyOn
		return s.answer([]byte("+OK\r\n"))
	case mode == replyOff || s.reply != replyOff:
		s.reply = mode
	}
	return true
}

// replyModeOf is what CLIENT REPLY asks for with a word: replyOn, replyOff or replySkipNext.
func replyModeOf(word []byte) (mode replyMode, ok bool) {
	switch strings.ToUpper(string(word)) {
	case "ON":
		return replyOn, true
	case "OFF":
		return replyOff, true
	case "SKIP":
		return replySkipNext, true
	}
	return replyOn, false
}

// keepState sends a command by which the server keeps something for the connection: the session has a lane of
// its own from then on. What is kept is brought to another connection by the same command. With off, it takes
// back what an earlier one of that name has set.
func (s *session) keepState(cmd *router.Command, raw []byte, off bool) bool {
	return s.keepFrame(cmd, raw, stateFrame{name: cmd.Name}, off, false)
}

// keepFrame is keepState for what f says of the command besides its bytes; with adds, it does not take the place
// of an earlier one.
func (s *session) keepFrame(cmd *router.Command, raw []byte, f stateFrame, off, adds bool) bool {
	if off && s.pins&pinState == 0 {
		return s.pass(cmd, raw) // nothing to take back: the server says what it thinks of it
	}
	if !s.pin(pinState) {
		return false
	}
	if f.raw == nil {
		f.raw = bytes.Clone(raw)
	}
	if !s.askPrimary(cmd, raw, true, func(reply []byte) []byte {
		if reply[0] != '-' {
			s.keep(f, off, adds)
		}
		return reply
	}) {
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

// monitor is MONITOR: from then on the server sends a line for each command that it executes.
func (s *session) monitor(cmd *router.Command, raw []byte) bool {
	if !s.pin(pinMonitor) {
		return false
	}
	return s.askPrimary(cmd, raw, true, func(reply []byte) []byte {
		if ln := s.pinned; ln != nil && reply[0] == '+' {
			ln.monitoring = true
			s.keep(stateFrame{name: monitorName, raw: frame(monitorName)}, false, false)
		} else {
			s.pins &^= pinMonitor
		}
		return reply
	})
}

// serverID is by what id the primary knows the lane that a session has for itself; noClient if it has none.
func (srv *Server) serverID(id int64) int64 {
	s := srv.byID(id)
	if s == nil {
		return noClient
	}
	s.sh.lock()
	defer s.sh.unlock()
	if s.pinned == nil || s.pinned.clientID == 0 {
		return noClient
	}
	return s.pinned.clientID
}

// learnID finds out by which id the server knows a pinned lane. The lock is held.
func (ln *lane) learnID() {
	ln.enqueue(&request{src: clientIDFrame, replies: 1, then: func(reply []byte) []byte {
		if reply[0] == ':' {
			ln.clientID, _ = strconv.ParseInt(string(bytes.TrimSpace(reply[1:])), 10, 64)
		} else {
			ln.nameless = true
		}
		return nil
	}})
}

var clientIDFrame = frame("CLIENT", "ID")
