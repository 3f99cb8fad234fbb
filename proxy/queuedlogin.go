package proxy

import (
	"strconv"

	"tandem/internal/instance"
)

// AUTH and HELLO within a transaction: what comes behind them there is another user's, and answered in another protocol.
// So the lane itself logs in when they are executed, and is one of that account from then on. Whether the primary takes
// the credentials is found out when they are queued, on another connection: what it does not take is not sent, for some
// servers leave out the answer to it, and with that one element of EXEC's reply.

// queueAuth is AUTH.
func (s *session) queueAuth(args [][]byte) (queue []byte, c *concern) {
	user, password := instance.DefaultUser, string(args[len(args)-1])
	if len(args) == 3 {
		user = string(args[1])
	}
	a, reply := s.verify(user, password, len(args) == 2)
	switch {
	case a == nil:
		return noLogin, saying(reply)
	case a == s.tx.who:
		return noLogin, saying([]byte("+OK\r\n"))
	}
	s.tx.who = a
	command := func(i *instance.Instance) []byte {
		user, password := a.credentials(i, password)
		return frame("AUTH", user, password)
	}
	return command(s.sh.Primary()), &concern{
		executed: func(o *outcome, element []byte) []byte {
			if element[0] == '+' {
				o.become(a, password)
			}
			return element
		},
		again: func(ln *lane, _ []byte) []byte { return command(ln.of.inst) },
	}
}

// noLogin stands for an AUTH that is answered without the server: everyone may send it, and nobody is logged in by it.
var noLogin = frame("AUTH", "tandem", "is", "asking")

// saying is the concern of what was answered when it was queued.
func saying(reply []byte) *concern {
	return &concern{executed: func(*outcome, []byte) []byte { return reply }}
}

// queueHello is HELLO. The name that it may give is the session's, and not the lane's.
func (s *session) queueHello(raw []byte, args [][]byte) (queue []byte, c *concern) {
	h, ok := parseHello(args)
	switch {
	case len(args) == 1 && !s.sh.hints.Load().server.HasPXAT():
		return raw, nil // before 6.2 it must name a protocol, and is refused at once
	case !ok:
		reply := s.helloRefusal(args)
		return s.noHello(), own(deniedOrUnknown, func(*outcome) []byte { return reply })
	}
	var a *account
	if h.user != "" {
		var reply []byte
		if a, reply = s.verify(h.user, h.password, false); a == nil {
			return s.noHello(), own(deniedOrUnknown, func(*outcome) []byte { return reply })
		}
	}
	logsIn := a != nil && a != s.tx.who
	if logsIn {
		s.tx.who = a
	}
	if h.proto != 0 {
		s.tx.resp3 = h.proto == 3
	}
	command := func(i *instance.Instance) []byte {
		words := []string{"HELLO"}
		if h.proto != 0 {
			words = append(words, strconv.Itoa(h.proto))
		}
		if logsIn {
			user, password := a.credentials(i, h.password)
			words = append(words, "AUTH", user, password)
		}
		return frame(words...)
	}
	return command(s.sh.Primary()), &concern{
		executed: func(o *outcome, element []byte) []byte {
			if element[0] == '-' {
				return element
			}
			if logsIn {
				o.become(a, h.password)
			}
			if h.proto != 0 {
				o.resp3 = h.proto == 3
			}
			if h.named {
				s.name = h.name
			}
			return withID(element, s.id)
		},
		again: func(ln *lane, _ []byte) []byte { return command(ln.of.inst) },
	}
}

// noHello is a HELLO that changes nothing.
func (s *session) noHello() []byte {
	if s.tx.resp3 {
		return frame("HELLO", "3")
	}
	return frame("HELLO", "2")
}

// become makes the session, and the lane on which it has executed its transaction, those of an account. The lock is
// held.
func (o *outcome) become(a *account, password string) {
	o.s.sh.enter(o.s, a, password)
	o.ln.who = a
}

// credentials are those by which an instance knows the account, whose password is given unless it is the proxy's own.
func (a *account) credentials(i *instance.Instance, password string) (user, pass string) {
	if a.someone {
		return a.name, password
	}
	return i.Credentials()
}
