package proxy

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/instance"
	"tandem/internal/resp"
	"tandem/router"
)

// sessionCommand answers what concerns the session only. False ends it.
func (s *session) sessionCommand(cmd *router.Command, raw []byte, args [][]byte) bool {
	if ok, alive := s.permitted(cmd); !ok {
		return alive
	}
	n := len(args)
	switch cmd.Name {
	case "PING":
		if s.pins&standing != 0 {
			return s.pass(cmd, raw) // its place among what comes unasked is the server's to choose
		}
		switch n {
		case 1:
			return s.answer(append(s.room(), "+PONG\r\n"...))
		case 2:
			return s.answer(redcon.AppendBulk(s.room(), args[1]))
		}
	case "ECHO":
		if s.pins&standing != 0 {
			return s.pass(cmd, raw)
		}
		if n == 2 {
			return s.answer(redcon.AppendBulk(s.room(), args[1]))
		}
	case "SELECT":
		if n == 2 {
			return s.selectDB(args[1])
		}
	case "HELLO":
		ok := s.hello(args)
		s.tell()
		return ok
	case "AUTH":
		if n == 2 || n == 3 {
			ok := s.auth(args)
			s.tell()
			return ok
		}
		if n > 3 {
			return s.answer([]byte(errSyntax))
		}
	case "QUIT":
		s.reply = replyOn
		s.answer([]byte("+OK\r\n"))
		return s.sayGoodbye(ClientQuit)
	case "RESET":
		if n == 1 && s.serverSince(60200) {
			return s.resetState()
		}
	case "MONITOR":
		if n == 1 {
			return s.monitor(cmd, raw)
		}
	case "CLIENT SETNAME":
		if n == 3 {
			return s.answer(s.takeName(args[2]))
		}
	case "CLIENT GETNAME":
		if n == 2 {
			return s.answer(s.nameReply(s.resp3))
		}
	case "CLIENT ID":
		if n == 2 {
			return s.answer(redcon.AppendInt(nil, s.id))
		}
	case "CLIENT SETINFO":
		if n == 4 && s.sh.hints.Load().server.HasSetInfo() && validInfo(args[2], args[3]) {
			return s.answer(s.takeInfo(args[2], args[3]))
		}
	case "CLIENT INFO":
		if n == 2 && s.serverSince(60200) {
			return s.clientInfo()
		}
	case "CLIENT LIST":
		return s.clientList(cmd, raw, args)
	case "CLIENT KILL":
		if n >= 3 {
			return s.clientKill(cmd, args)
		}
	case "CLIENT REPLY":
		if n == 3 {
			return s.clientReply(cmd, raw, args[2])
		}
	case "CLIENT UNBLOCK":
		return s.unblock(cmd, raw, args)
	case "CLIENT TRACKING":
		if n >= 3 {
			return s.tracking(cmd, raw, args)
		}
	case "CLIENT GETREDIR":
		if n == 2 {
			return s.redirectReply(cmd, raw, beforeRedirect)
		}
	case "CLIENT CACHING":
		return s.cachingCommand(cmd, raw)
	case "CLIENT TRACKINGINFO":
		return s.redirectReply(cmd, raw, beforeTrackingInfo)
	case "CLIENT NO-TOUCH":
		if n == 3 {
			return s.keepState(cmd, raw, strings.EqualFold(string(args[2]), "OFF"))
		}
	case "CLIENT NO-EVICT":
		if n == 3 && isOnOff(args[2]) && s.serverSince(70000) {
			return s.answer(s.takeNoEvict(args[2]))
		}
	default:
		return s.keepState(cmd, raw, false)
	}
	return s.pass(cmd, raw) // the server says what is wrong with it
}

// room returns an empty buffer for a short answer.
func (s *session) room() []byte { return make([]byte, 0, 32) }

// selectDB changes the database: another lane serves it. Whether it exists only the server knows, so the
// first session that asks for it tries on a connection of its own.
func (s *session) selectDB(arg []byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	if s.pins != 0 {
		return s.selectPinned(arg)
	}
	db, err := strconv.Atoi(string(arg))
	canonical := err == nil && strconv.Itoa(db) == string(arg)
	if canonical && s.sh.knownDB(s.who, db) {
		s.db = db
		s.tell()
		return s.answer([]byte("+OK\r\n"))
	}
	reply, ok := s.trySelect(string(arg))
	if ok && canonical {
		s.db = db
		s.tell()
	}
	return s.answer(reply)
}

// selectPinned changes the database of the session's own lane. Nothing is on the way.
func (s *session) selectPinned(arg []byte) bool {
	arg = bytes.Clone(arg)
	spell := func(i *instance.Instance) []byte { return frame("SELECT", selecting(arg, i)) }
	return s.askSpelled(spell, func(ln *lane, reply []byte) []byte {
		if db, err := strconv.Atoi(string(arg)); err == nil && reply[0] == '+' {
			s.db, ln.db = db, db
			s.tell()
		}
		return reply
	})
}

// onPinned sends a command on the session's own lane and waits for its reply. then is told it, under the lock,
// and returns what the client gets.
func (s *session) onPinned(raw []byte, then func(ln *lane, reply []byte) []byte) bool {
	return s.askPrimary(ownCommand, raw, true, func(reply []byte) []byte {
		if s.pinned == nil {
			return reply
		}
		return then(s.pinned, reply)
	})
}

// askSpelled is onPinned for a command whose form depends on the instance.
func (s *session) askSpelled(spell func(*instance.Instance) []byte, then func(ln *lane, reply []byte) []byte) bool {
	r := s.request()
	r.cmd, r.replies, r.own, r.spell = ownCommand, 1, true, spell
	r.then = func(reply []byte) []byte {
		if s.pinned == nil {
			return reply
		}
		return then(s.pinned, reply)
	}
	s.add(r)
	s.refused = false
	return s.submit() && s.awaitAnswers()
}

// askPrimary sends one command on the session's lane, its own one with own, and waits for the reply. then is told it,
// under the lock, and returns what the client gets. False: the session has ended. If s.refused is set afterwards, the
// primary could not be asked, and the client has been answered so.
func (s *session) askPrimary(cmd *router.Command, raw []byte, own bool, then func(reply []byte) []byte) bool {
	r := s.request()
	r.cmd, r.src, r.replies, r.own, r.then = cmd, raw, 1, own, then
	s.add(r)
	s.refused = false
	return s.submit() && s.awaitAnswers()
}

// ownCommand stands for what the proxy sends for a session by itself.
var ownCommand = &router.Command{Name: "PING", Class: router.Read}

func (s *session) resetState() bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.enterTransaction(nil)
	s.dropPin()
	s.db, s.name, s.resp3, s.noEvict = 0, "", false, false
	sh := s.sh
	sh.lock()
	sh.leave(s)
	if d, who := sh.doorNow(); d == doorOpen {
		sh.enter(s, who, "")
	}
	sh.unlock()
	if s.who == nil {
		s.guard.SetLimits(s.srv.Limits.PreAuth())
	}
	if s.reply == replyOff {
		s.reply = replyOn
	}
	s.tell()
	return s.answer([]byte("+RESET\r\n"))
}

const badName = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"

// validName is the server's rule for client names: printable ASCII without spaces.
func validName(name string) bool {
	for i := range len(name) {
		if name[i] < '!' || name[i] > '~' {
			return false
		}
	}
	return true
}

// nullBulk is the reply that there is no such string.
func nullBulk(resp3 bool) []byte {
	if resp3 {
		return []byte("_\r\n")
	}
	return []byte("$-1\r\n")
}

// apart sends a command on a connection of its own: it must not wait behind what it acts on (SCRIPT KILL, say).
func (s *session) apart(raw []byte) bool {
	sh := s.sh
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	sh.lock()
	login := s.who.login(s.resp3)
	sh.unlock()
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		conn, _, err := i.OpenAs(ctx, login, "", 0) // a server that is busy with a script takes no name
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return ask(ctx, conn, raw)
	})
	if err != nil {
		return s.answer(errorReply(nil, "%s cannot be reached for %s: %v", sh.Primary(), sh.opt.PrimaryWait, err))
	}
	return s.answer(reply)
}

// info passes INFO on, and adds a section about Tandem to what is not about one of the server's own sections.
func (s *session) info(cmd *router.Command, raw []byte, args [][]byte) bool {
	wanted := len(args) == 1
	for _, section := range args[1:] {
		switch strings.ToLower(string(section)) {
		case "all", "default", "everything", "tandem":
			wanted = true
		}
	}
	if !wanted || s.sh.opt.Info == nil {
		return s.pass(cmd, raw)
	}
	// Before the shard's lock is taken, under which the reply comes.
	section := "# Tandem\r\n" + strings.Join(s.sh.opt.Info(), "\r\n") + "\r\n"
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, s.pins != 0
	r.then = func(reply []byte) []byte { return withSection(reply, section) }
	s.add(r)
	return true
}

// withSection adds a section to an INFO reply, a bulk string or a verbatim one.
func withSection(reply []byte, section string) []byte {
	if reply[0] != '$' && reply[0] != '=' {
		return reply
	}
	head := bytes.IndexByte(reply, '\n') + 1
	text := reply[head : len(reply)-2]
	if len(text) > len("txt:") {
		section = "\r\n" + section
	}
	out := append([]byte{reply[0]}, strconv.Itoa(len(text)+len(section))...)
	out = append(out, "\r\n"...)
	out = append(out, text...)
	out = append(out, section...)
	return append(out, "\r\n"...)
}

// knownDB reports whether the primary is known to give a database to an account.
func (sh *Shard) knownDB(who *account, db int) bool {
	sh.lock()
	defer sh.unlock()
	for _, resp3 := range []bool{false, true} {
		if _, ok := sh.primary.lanes[laneKey{who, db, resp3}]; ok {
			return true
		}
	}
	return false
}

// trySelect asks the primary for a database, on a connection of its own, and returns its answer. A client that
// went on in the database it was in would write to the wrong one: so this waits like any command.
func (s *session) trySelect(arg string) (reply []byte, ok bool) {
	sh := s.sh
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	sh.lock()
	login := s.who.login(false)
	sh.unlock()
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		conn, _, err := i.OpenAs(ctx, login, sh.ConnName("select"), 0)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return ask(ctx, conn, frame("SELECT", selecting([]byte(arg), i)))
	})
	if err != nil {
		return errorReply(nil, "SELECT could not be tried for %s: %v", sh.opt.PrimaryWait, err), false
	}
	return reply, reply[0] == '+'
}

// scan prepares a SCAN-family command. From the first cutover on cursors carry the number of cutovers, for
// one server's cursor means nothing to another: one of an older epoch starts over, which may return keys
// again but misses none.
func (s *session) scan(r *request, args [][]byte) {
	r.cursor = true
	at := r.cmd.CursorArg
	r.epoch = s.sh.hints.Load().epoch
	r.src = plainCursor(r.src, args, at, r.epoch)
}

// plainCursor is a command whose argument at is a cursor, with that as the primary knows it: without the epoch, or, if
// it is of an older one, the first.
func plainCursor(raw []byte, args [][]byte, at, epoch int) []byte {
	if epoch == 0 || at >= len(args) {
		return raw
	}
	cursor, err := strconv.ParseUint(string(args[at]), 10, 64)
	if err != nil || cursor == 0 {
		return raw
	}
	plain := uint64(0)
	if int(cursor>>epochShift) == epoch {
		plain = cursor & (1<<epochShift - 1)
	}
	return withCursor(args, at, plain)
}

func withCursor(args [][]byte, at int, cursor uint64) []byte {
	changed := append([][]byte(nil), args...)
	changed[at] = strconv.AppendUint(nil, cursor, 10)
	return resp.AppendArgs(nil, changed)
}

// rescan makes a SCAN that was prepared before a cutover, and not sent, start over.
func (sh *Shard) rescan(r *request) {
	r.epoch = sh.scanEpoch
	if args := resp.Args(r.src, nil); r.cmd.CursorArg < len(args) {
		r.src = withCursor(args, r.cmd.CursorArg, 0)
		r.take = false
	}
}

// epochShift is where a cursor's epoch begins: cursors are table indices, far below 2^48, and with 15 bits
// of epoch they stay positive as signed numbers.
const epochShift = 48

// tagCursor puts the epoch into the cursor of a SCAN-family reply.
func tagCursor(reply []byte, epoch int) []byte {
	const head = "*2\r\n$"
	if len(reply) < len(head) || string(reply[:len(head)]) != head {
		return reply
	}
	v, n, err := resp.Parse(reply[len(head)-1:])
	if err != nil {
		return reply
	}
	cursor, err := strconv.ParseUint(string(v.Str), 10, 64)
	if err != nil || cursor == 0 {
		return reply
	}
	tagged := strconv.AppendUint(nil, cursor|uint64(epoch)<<epochShift, 10)
	out := redcon.AppendBulk([]byte("*2\r\n"), tagged)
	return append(out, reply[len(head)-1+n:]...)
}
