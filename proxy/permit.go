package proxy

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"tandem/router"
)

// permitFor is how long the primary's word on what a user may do is taken: its rules may change at any time.
const permitFor = time.Second

// permit is what the primary said to a command that the proxy answers itself.
type permit struct {
	refusal []byte // its error, nil if the user may
	until   time.Time
}

// permitted asks the primary whether the session's user may use a command that the proxy answers itself, by a form
// of it that changes nothing on the user's lane. The proxy's own account may everything. ok is false when the client
// has the primary's refusal, or the session has ended (alive false).
func (s *session) permitted(cmd *router.Command) (ok, alive bool) {
	if s.who == nil || !s.who.someone {
		return true, true
	}
	probe := s.probe(cmd.Name)
	if probe == nil {
		return true, true
	}
	sh := s.sh
	sh.lock()
	p, known := s.who.permits[cmd.Name]
	sh.unlock()
	if !known || time.Now().After(p.until) {
		if !s.submit() || !s.awaitAnswers() {
			return false, false
		}
		p = permit{until: time.Now().Add(permitFor)}
		if !s.askPrimary(ownCommand, probe, s.pins != 0, func(reply []byte) []byte {
			if bytes.HasPrefix(reply, []byte("-NOPERM")) {
				p.refusal = bytes.Clone(reply)
			}
			s.who.permits[cmd.Name] = p
			return nil
		}) {
			return false, false
		}
		if s.refused {
			return false, true // it has been answered that the primary cannot be asked
		}
	}
	if p.refusal != nil {
		return false, s.answer(p.refusal)
	}
	return true, true
}

// probe is a form of a session command that leaves the lane as it is, nil for commands that everyone may use or that
// are passed on.
func (s *session) probe(name string) []byte {
	switch name {
	case "PING", "CLIENT GETNAME", "CLIENT ID", "CLIENT INFO":
		return frameOf(name)
	case "ECHO":
		return frameOf(name, "")
	case "SELECT":
		if s.sh.opt.Renumbered {
			return frameOf(name, "x") // no number; which one is the right one is known when it is sent
		}
		return frameOf(name, strconv.Itoa(s.db))
	case "HELLO": // of a protocol that there is not; from 6.2 on everyone may
		if !s.sh.hints.Load().server.HasPXAT() {
			return frameOf(name, "9")
		}
	case "CLIENT LIST":
		return frameOf(name, "ID", "1")
	case "CLIENT KILL":
		return frameOf(name, "ADDR", "0.0.0.0:1")
	case "CLIENT UNBLOCK":
		return frameOf(name, "0")
	case "CLIENT REPLY":
		return frameOf(name, "ON")
	case "CLIENT NO-EVICT":
		return frameOf(name, "OFF")
	case "CLIENT SETNAME": // to a name that no server takes, though not before it has looked who asks
		return frameOf(name, "\n")
	case "CLIENT SETINFO":
		return frameOf(name, "lib-name", "\n")
	}
	return nil
}

// frameOf is a command as RESP, its name perhaps of two words.
func frameOf(name string, args ...string) []byte {
	return frame(append(strings.Fields(name), args...)...)
}
