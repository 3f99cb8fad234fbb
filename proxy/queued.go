package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
	"tandem/router"
)

// Commands that concern the session may be queued in a transaction too. What sets something for the connection is
// queued as it is: the session has a lane of its own, and takes over what EXEC's reply says has come about. What the
// proxy answers itself is represented on the server by a form of the same command that changes nothing (probe), so that
// it is refused to whom the server would refuse it, and EXEC's reply gets our answer in its place. If the transaction
// does not run, nothing of this happens.

// concern is what a command of a transaction is to the session besides a command.
type concern struct {
	// executed is told what the server has answered to it within EXEC's reply, under the lock, and returns what the
	// client gets. nil: it is as the server says.
	executed func(o *outcome, element []byte) []byte
	// epoch is that of the cursor which was queued.
	epoch int
	// again is what is queued on another primary's lane instead of what was; nil: the same.
	again func(ln *lane, raw []byte) []byte
}

// own is a concern whose answer is the proxy's, unless the server refuses the probe; refusal tells what refuses it.
func own(refusal func(element []byte) bool, answer func(o *outcome) []byte) *concern {
	return &concern{executed: func(o *outcome, element []byte) []byte {
		if refusal(element) {
			return element
		}
		return answer(o)
	}}
}

func anyError(element []byte) bool { return element[0] == '-' }

// deniedOrUnknown: the probe itself is one that the server answers with an error.
func deniedOrUnknown(element []byte) bool {
	return bytes.HasPrefix(element, []byte("-NOPERM")) || bytes.HasPrefix(element, []byte("-ERR Unknown subcommand"))
}

// queueable reports whether the server itself may queue the command, and nothing of it concerns the session.
func queueable(cmd *router.Command) bool {
	if cmd.Stateful() || cmd.CursorArg > 0 {
		return false
	}
	switch cmd.Class {
	case router.Read, router.Write, router.Barrier, router.Everywhere:
		return true
	case router.Session:
		return cmd.Name == "PING" || cmd.Name == "ECHO"
	}
	return cmd.Name == "UNWATCH"
}

// queueSession says how a command that is not queueable is queued: as raw, and as what part of the transaction. False:
// the session has ended.
func (s *session) queueSession(cmd *router.Command, raw []byte, args [][]byte) (queue []byte, p part, alive bool) {
	p = part{cmd: cmd, db: noDB}
	n := len(args)
	switch {
	case cmd.Class == router.PubSub:
		if p.channels = n - 1; n == 1 {
			p.channels = allChannels
		}
	case cmd.CursorArg > 0:
		raw, p.concern = s.queueScan(cmd, raw, args)
	case cmd.Stateful(), cmd.Name == "CLIENT CAPA", cmd.Name == "CLIENT IMPORT-SOURCE":
		p.concern = keeps(stateFrame{name: cmd.Name, raw: bytes.Clone(raw)}, false, false)
	case cmd.Name == "CLIENT NO-TOUCH" && n == 3:
		p.concern = keeps(stateFrame{name: cmd.Name, raw: bytes.Clone(raw)}, strings.EqualFold(string(args[2]), "OFF"), false)
	case cmd.Name == "CLIENT TRACKING" && n >= 3:
		f, off, adds := parseTracking(args)
		if raw, alive = s.redirected(&f, raw); !alive {
			return nil, p, false
		}
		p.concern = keeps(f, off, adds)
	case cmd.Name == "CLIENT GETREDIR":
		p.concern = namesRedirect(beforeRedirect)
	case cmd.Name == "CLIENT TRACKINGINFO":
		p.concern = namesRedirect(beforeTrackingInfo)
	case cmd.Name == monitorName && n == 1:
		p.concern = &concern{executed: monitors}
	case cmd.Name == "SELECT" && n == 2:
		p.selects, p.db = true, s.queuedDB(string(args[1]))
	case cmd.Name == "AUTH" && (n == 2 || n == 3):
		raw, p.concern = s.queueAuth(args)
	case cmd.Name == "HELLO":
		raw, p.concern = s.queueHello(raw, args)
	default:
		raw, p.concern = s.queueOwn(cmd, raw, args)
	}
	return raw, p, !s.closed.Load()
}

// queueOwn is for what the proxy answers itself. What is wrong with it the server says.
func (s *session) queueOwn(cmd *router.Command, raw []byte, args [][]byte) (queue []byte, c *concern) {
	arg := func(i int) []byte { return bytes.Clone(args[i]) }
	switch n := len(args); {
	case cmd.Name == "CLIENT ID" && n == 2:
		c = own(anyError, func(o *outcome) []byte { return redcon.AppendInt(nil, s.id) })
	case cmd.Name == "CLIENT GETNAME" && n == 2:
		c = own(anyError, func(o *outcome) []byte { return s.nameReply(o.resp3) })
	case cmd.Name == "CLIENT SETNAME" && n == 3:
		name := arg(2)
		c = own(deniedOrUnknown, func(o *outcome) []byte { return s.takeName(name) })
	case cmd.Name == "CLIENT SETINFO" && n == 4 && s.sh.hints.Load().server.HasSetInfo() && validInfo(args[2], args[3]):
		what, value := arg(2), arg(3)
		c = own(deniedOrUnknown, func(o *outcome) []byte { return s.takeInfo(what, value) })
	case cmd.Name == "CLIENT NO-EVICT" && n == 3 && isOnOff(args[2]) && s.serverSince(70000):
		word := arg(2)
		c = own(anyError, func(o *outcome) []byte { return s.takeNoEvict(word) })
	case cmd.Name == "CLIENT INFO" && n == 2:
		c = own(anyError, func(o *outcome) []byte { return textReply(s.describe()+"\n", o.resp3) })
	case cmd.Name == "CLIENT LIST":
		if f, ok := s.parseFilter(args[2:], false); ok {
			return f.listProbe(), own(anyError, func(o *outcome) []byte { return textReply(s.list(f), o.resp3) })
		}
	case cmd.Name == "CLIENT KILL" && n >= 3:
		f, ok := s.killFilter(args[2:])
		if !ok {
			return killProbe(args), nil
		}
		return killProbe(args), own(anyError, func(o *outcome) (reply []byte) {
			reply, o.killed = s.kill(f)
			return reply
		})
	case cmd.Name == "CLIENT UNBLOCK":
		if id, how, ok := parseUnblock(args); ok {
			c = own(anyError, func(o *outcome) []byte {
				o.answerLater(func() []byte { return s.unblockReply(id, how) })
				return nil
			})
		}
	case cmd.Name == "CLIENT REPLY" && n == 3:
		if mode, ok := replyModeOf(args[2]); ok {
			c = own(anyError, func(o *outcome) []byte { return o.replies(mode) })
		}
	}
	if probe := s.probe(cmd.Name); c != nil && probe != nil {
		raw = probe
	}
	return raw, c
}

// keeps is the concern of what sets something for the connection, or with off takes it back (see session.keep).
func keeps(f stateFrame, off, adds bool) *concern {
	c := &concern{executed: func(o *outcome, element []byte) []byte {
		if element[0] != '-' {
			o.s.keep(f, off, adds)
		}
		return element
	}}
	if f.redirect != 0 {
		c.again = func(ln *lane, _ []byte) []byte {
			if other := ln.sh.standing(f.redirect); other != nil && other.pinned.clientID != 0 {
				return f.to(other.pinned.clientID)
			}
			return f.to(noClient)
		}
	}
	return c
}

// namesRedirect is the concern of what is answered with the id of the session that invalidations are redirected to.
func namesRedirect(before string) *concern {
	return &concern{executed: func(o *outcome, element []byte) []byte { return o.s.inOurIDs(element, before) }}
}

// monitors is MONITOR within a transaction, which servers before 6.2 take.
func monitors(o *outcome, element []byte) []byte {
	if element[0] == '+' {
		o.s.pins |= pinMonitor
		o.ln.monitoring = true
		o.s.keep(stateFrame{name: monitorName, raw: frame(monitorName)}, false, false)
	}
	return element
}

// queueScan takes the epoch from the cursor of a SCAN-family command; what comes back gets that of the primary which has
// executed it.
func (s *session) queueScan(cmd *router.Command, raw []byte, args [][]byte) (queue []byte, c *concern) {
	epoch := s.sh.hints.Load().epoch
	return plainCursor(raw, args, cmd.CursorArg, epoch), &concern{
		epoch: epoch,
		executed: func(o *outcome, element []byte) []byte {
			if now := s.sh.scanEpoch; now > 0 {
				element = tagCursor(element, now)
			}
			return element
		},
		again: func(ln *lane, raw []byte) []byte {
			args := resp.Args(raw, nil)
			if ln.sh.scanEpoch == epoch || cmd.CursorArg >= len(args) {
				return raw
			}
			return withCursor(args, cmd.CursorArg, 0)
		},
	}
}

func isOnOff(arg []byte) bool {
	return bytes.EqualFold(arg, []byte("ON")) || bytes.EqualFold(arg, []byte("OFF"))
}

// serverSince reports whether the primary is of this version (as of router.Server) or later; true while that is
// not known.
func (s *session) serverSince(version int) bool {
	v := s.sh.hints.Load().server.Version
	return v == 0 || v >= version
}

// noDB is the database of a SELECT that will fail.
const noDB = -1

// queuedDB is the database that a SELECT which is queued will lead to. The keys of what is queued behind it must
// be known before it runs, so whether the server has it is found out now.
func (s *session) queuedDB(arg string) int {
	db, err := strconv.Atoi(arg)
	if err != nil || strconv.Itoa(db) != arg {
		return noDB
	}
	if s.sh.knownDB(s.who, db) {
		return db
	}
	if _, ok := s.trySelect(arg); !ok {
		return noDB
	}
	return db
}

// nameReply is the answer to CLIENT GETNAME.
func (s *session) nameReply(resp3 bool) []byte {
	if s.name == "" {
		return nullBulk(resp3)
	}
	return redcon.AppendBulkString(nil, s.name)
}

// takeName gives the session a name, and returns the answer.
func (s *session) takeName(name []byte) []byte {
	if !validName(string(name)) {
		return []byte(badName)
	}
	s.name = string(name)
	s.tell()
	return []byte("+OK\r\n")
}

// takeNoEvict is CLIENT NO-EVICT ON or OFF, and returns the answer.
func (s *session) takeNoEvict(word []byte) []byte {
	s.noEvict = bytes.EqualFold(word, []byte("ON"))
	s.tell()
	return []byte("+OK\r\n")
}

// validInfo reports whether a server takes such a CLIENT SETINFO.
func validInfo(what, value []byte) bool {
	return (bytes.EqualFold(what, []byte("lib-name")) || bytes.EqualFold(what, []byte("lib-ver"))) && validName(string(value))
}

// takeInfo is CLIENT SETINFO, and returns the answer.
func (s *session) takeInfo(what, value []byte) []byte {
	into := &s.libName
	if bytes.EqualFold(what, []byte("lib-ver")) {
		into = &s.libVer
	}
	*into = string(value)
	s.tell()
	return []byte("+OK\r\n")
}
