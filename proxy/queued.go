package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
	"tandem/router"
)

// Commands that concern the session may be queued in a transaction too. Those that the proxy answers itself are
// represented on the server by a PING, and EXEC's reply gets their answers in its place; SELECT is the server's,
// and noted when it has come about. What would give the connection another user or protocol, or subscribe it, is
// refused: of subscriptions the server confirms each one within EXEC's reply, whose length it announced as the
// number of commands, so that nobody can tell where that reply ends.

// queueable reports whether the server itself may queue the command, and nothing of it concerns the session.
func queueable(cmd *router.Command) bool {
	switch cmd.Class {
	case router.Read, router.Write, router.Barrier, router.Everywhere:
		return true
	case router.Session:
		return cmd.Name == "PING" || cmd.Name == "ECHO"
	}
	return cmd.Name == "UNWATCH"
}

// queueSession says how a command that concerns the session is queued: as raw, and as what part of the
// transaction. ok is false for those that cannot be.
func (s *session) queueSession(cmd *router.Command, raw []byte, args [][]byte) (queue []byte, p part, ok bool) {
	p = part{cmd: cmd, db: noDB}
	switch cmd.Name {
	case "SELECT":
		if len(args) == 2 {
			p.selects, p.db = true, s.queuedDB(string(args[1]))
		}
		return raw, p, true
	case "CLIENT CACHING":
		return raw, p, true
	case "MONITOR":
		return raw, p, s.serverSince(60200) // refused within EXEC; before, it was taken
	case "CLIENT ID", "CLIENT GETNAME", "CLIENT SETNAME", "CLIENT SETINFO", "CLIENT NO-EVICT":
		if p.local = s.localAnswer(cmd, args); p.local != nil {
			return pingFrame, p, true
		}
		return raw, p, true // the server says what is wrong with it
	}
	return nil, p, false
}

// localAnswer is what answers such a command at the time of EXEC, nil if the server does.
func (s *session) localAnswer(cmd *router.Command, args [][]byte) func() []byte {
	arg := func(i int) []byte { return bytes.Clone(args[i]) }
	switch n := len(args); {
	case cmd.Name == "CLIENT ID" && n == 2:
		return func() []byte { return redcon.AppendInt(nil, s.id) }
	case cmd.Name == "CLIENT GETNAME" && n == 2:
		return func() []byte { return s.nameReply() }
	case cmd.Name == "CLIENT SETNAME" && n == 3:
		name := arg(2)
		return func() []byte { return s.takeName(name) }
	case cmd.Name == "CLIENT SETINFO" && n == 4 && s.sh.hints.Load().server.HasSetInfo():
		what, value := arg(2), arg(3)
		return func() []byte { return s.takeInfo(what, value) }
	case cmd.Name == "CLIENT NO-EVICT" && n == 3 && isOnOff(args[2]) && s.serverSince(70000):
		return func() []byte { return []byte("+OK\r\n") }
	}
	return nil
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

// concernsSession reports whether EXEC's reply must be there whole, because what it says concerns the session.
func (tx *transaction) concernsSession() bool {
	for i := range tx.parts {
		if p := &tx.parts[i]; p.selects || p.local != nil {
			return true
		}
	}
	return false
}

// executed looks at EXEC's reply and puts the answers of our own into it. It is called under the lock, when the
// effect has been made.
func (tx *transaction) executed(s *session, r *request, reply []byte) []byte {
	if reply[0] != '*' {
		return reply
	}
	elements, ok := splitArray(reply, len(tx.parts))
	if !ok {
		return reply
	}
	out := append([]byte(nil), reply[:bytes.IndexByte(reply, '\n')+1]...)
	db, foreseen := s.db, true
	for i := range tx.parts {
		p, e := &tx.parts[i], elements[i]
		switch {
		case p.local != nil:
			e = p.local()
		case p.selects && e[0] == '+':
			args := resp.Args(tx.block[p.from:p.to], nil)
			db, _ = strconv.Atoi(string(args[1]))
			foreseen = foreseen && db == p.db
		case p.selects:
			foreseen = foreseen && p.db == noDB
		}
		out = append(out, e...)
	}
	if !foreseen && r.writes && s.sh.dual {
		s.sh.ledger.OweSweep("a transaction has written to another database than was foreseen", 0)
	}
	if s.db = db; s.pinned != nil {
		s.pinned.db = db
		s.stateChanges++
	}
	s.tell()
	return out
}

// nameReply is the answer to CLIENT GETNAME.
func (s *session) nameReply() []byte {
	if s.name == "" {
		return s.nullBulk()
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

// takeInfo is CLIENT SETINFO, and returns the answer.
func (s *session) takeInfo(what, value []byte) []byte {
	var into *string
	option := strings.ToLower(string(what))
	switch option {
	case "lib-name":
		into = &s.libName
	case "lib-ver":
		into = &s.libVer
	default:
		return []byte("-ERR Unrecognized option '" + printable(what) + "'\r\n")
	}
	if !validName(string(value)) {
		return []byte("-ERR " + option + " cannot contain spaces, newlines or special characters.\r\n")
	}
	*into = string(value)
	s.tell()
	return []byte("+OK\r\n")
}
