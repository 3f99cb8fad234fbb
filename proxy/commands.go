package proxy

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/instance"
	"tandem/internal/resp"
	"tandem/router"
)

// sessionCommand answers what concerns the session only. False ends it.
func (s *session) sessionCommand(cmd *router.Command, args [][]byte) bool {
	if why := cmd.Refuse(args); why != "" {
		return s.answer(errorReply(nil, "%s is not supported: %s", cmd.Name, why))
	}
	switch cmd.Name {
	case "PING":
		switch len(args) {
		case 1:
			return s.answer(append(s.room(), "+PONG\r\n"...))
		case 2:
			return s.answer(redcon.AppendBulk(s.room(), args[1]))
		}
	case "ECHO":
		if len(args) == 2 {
			return s.answer(redcon.AppendBulk(s.room(), args[1]))
		}
	case "SELECT":
		if len(args) == 2 {
			return s.selectDB(args[1])
		}
	case "HELLO":
		return s.hello(args)
	case "AUTH":
		return s.answer(errorReply(nil, "AUTH is not supported: clients use the proxy's own credentials, "+
			"so connect without a password"))
	case "QUIT":
		s.answer([]byte("+OK\r\n"))
		s.submit()
		s.awaitAnswers()
		s.out.flush()
		s.close(ClientQuit)
		return false
	case "RESET":
		if len(args) == 1 {
			return s.resetState()
		}
	case "CLIENT SETNAME":
		if len(args) == 3 {
			return s.setName(args[2])
		}
	case "CLIENT GETNAME":
		if len(args) == 2 {
			if s.name == "" {
				return s.answer([]byte("$-1\r\n"))
			}
			return s.answer(redcon.AppendBulkString(nil, s.name))
		}
	case "CLIENT ID":
		if len(args) == 2 {
			return s.answer(redcon.AppendInt(nil, s.id))
		}
	case "CLIENT SETINFO":
		if len(args) == 4 {
			return s.setInfo(args)
		}
	case "CLIENT INFO":
		if len(args) == 2 {
			return s.answer(redcon.AppendBulkString(nil, s.describe()+"\n"))
		}
	case "CLIENT NO-EVICT", "CLIENT NO-TOUCH":
		if len(args) == 3 {
			return s.answer([]byte("+OK\r\n"))
		}
	default:
		return s.answer(errorReply(nil, "%s is not supported in this version", cmd.Name))
	}
	return s.answer([]byte("-ERR wrong number of arguments for '" +
		strings.ToLower(strings.ReplaceAll(cmd.Name, " ", "|")) + "' command\r\n"))
}

// room returns an empty buffer for a short answer.
func (s *session) room() []byte { return make([]byte, 0, 32) }

// selectDB changes the database: another lane serves it. Whether it exists only the server knows, so the
// first session that asks for it tries on a connection of its own.
func (s *session) selectDB(arg []byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	db, err := strconv.Atoi(string(arg))
	canonical := err == nil && strconv.Itoa(db) == string(arg)
	if canonical && s.sh.knownDB(db) {
		s.db = db
		return s.answer([]byte("+OK\r\n"))
	}
	reply, ok := s.trySelect(string(arg))
	if ok && canonical {
		s.db = db
	}
	return s.answer(reply)
}

// hello answers in RESP2, the only protocol of this version: a client that wants RESP3 is told as a server
// without it would.
func (s *session) hello(args [][]byte) bool {
	i := 1
	if len(args) > 1 {
		v, err := strconv.Atoi(string(args[1]))
		if err != nil {
			return s.answer([]byte("-ERR Protocol version is not an integer or out of range\r\n"))
		}
		if v != 2 {
			return s.answer([]byte("-NOPROTO unsupported protocol version\r\n"))
		}
		i = 2
	}
	name := ""
	for i < len(args) {
		switch {
		case strings.EqualFold(string(args[i]), "SETNAME") && i+1 < len(args):
			name = string(args[i+1])
			i += 2
		case strings.EqualFold(string(args[i]), "AUTH"):
			return s.answer(errorReply(nil, "HELLO with AUTH is not supported: clients use the proxy's own "+
				"credentials, so connect without a password"))
		default:
			return s.answer([]byte("-ERR Syntax error in HELLO option '" + printable(args[i]) + "'\r\n"))
		}
	}
	if name != "" {
		if !validName(name) {
			return s.answer([]byte(badName))
		}
		s.name = name
	}
	server, version := s.sh.serverName()
	b := redcon.AppendArray(nil, 14)
	b = redcon.AppendBulkString(b, "server")
	b = redcon.AppendBulkString(b, server)
	b = redcon.AppendBulkString(b, "version")
	b = redcon.AppendBulkString(b, version)
	b = redcon.AppendBulkString(b, "proto")
	b = redcon.AppendInt(b, 2)
	b = redcon.AppendBulkString(b, "id")
	b = redcon.AppendInt(b, s.id)
	b = redcon.AppendBulkString(b, "mode")
	b = redcon.AppendBulkString(b, "standalone")
	b = redcon.AppendBulkString(b, "role")
	b = redcon.AppendBulkString(b, "master")
	b = redcon.AppendBulkString(b, "modules")
	b = redcon.AppendArray(b, 0)
	return s.answer(b)
}

func (s *session) resetState() bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.tx = nil
	s.dropPin()
	s.db, s.name = 0, ""
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

func (s *session) setName(name []byte) bool {
	if !validName(string(name)) {
		return s.answer([]byte(badName))
	}
	s.name = string(name)
	return s.answer([]byte("+OK\r\n"))
}

func (s *session) setInfo(args [][]byte) bool {
	var into *string
	option := strings.ToLower(string(args[2]))
	switch option {
	case "lib-name":
		into = &s.libName
	case "lib-ver":
		into = &s.libVer
	default:
		return s.answer([]byte("-ERR Unrecognized option '" + printable(args[2]) + "'\r\n"))
	}
	if !validName(string(args[3])) {
		return s.answer([]byte("-ERR " + option + " cannot contain spaces, newlines or special characters.\r\n"))
	}
	*into = string(args[3])
	return s.answer([]byte("+OK\r\n"))
}

// describe is the session's line as CLIENT INFO has it.
func (s *session) describe() string {
	return "id=" + strconv.FormatInt(s.id, 10) + " addr=" + s.conn.RemoteAddr().String() +
		" laddr=" + s.conn.LocalAddr().String() + " name=" + s.name + " db=" + strconv.Itoa(s.db) +
		" resp=2 lib-name=" + s.libName + " lib-ver=" + s.libVer
}

// knownDB reports whether the primary is known to have a database.
func (sh *Shard) knownDB(db int) bool {
	sh.lock()
	defer sh.unlock()
	_, ok := sh.primary.lanes[db]
	return ok && db >= 0
}

// trySelect asks the primary for a database, on a connection of its own, and returns its answer.
func (s *session) trySelect(arg string) (reply []byte, ok bool) {
	sh := s.sh
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		v, err := sh.selectOn(ctx, sh.Primary(), arg)
		switch {
		case err == nil && v.IsError():
			return append(append([]byte{'-'}, v.Str...), '\r', '\n'), false
		case err == nil:
			return []byte("+OK\r\n"), true
		}
		// A client that goes on in the database it was in would write to the wrong one: so this waits like any
		// command.
		select {
		case <-ctx.Done():
			return errorReply(nil, "SELECT could not be tried for %s: %v", sh.opt.PrimaryWait, err), false
		case <-time.After(pause):
		}
	}
}

// selectOn tries a SELECT on a connection of its own. The error is of the connection.
func (sh *Shard) selectOn(ctx context.Context, i *instance.Instance, arg string) (resp.Value, error) {
	conn, err := i.Conn(ctx, sh.ConnName("select"), 0)
	if err != nil {
		return resp.Value{}, err
	}
	defer conn.Close()
	replies, err := conn.Pipe(ctx, []string{"SELECT", arg})
	if err != nil {
		return resp.Value{}, err
	}
	return replies[0], nil
}

// serverName is what HELLO says of the server.
func (sh *Shard) serverName() (name, version string) {
	sh.lock()
	defer sh.unlock()
	f := &sh.primary.facts
	name, version, _ = strings.Cut(f.Version, " ")
	return name, version
}

// scan prepares a SCAN-family command. From the first cutover on cursors carry the number of cutovers, for
// one server's cursor means nothing to another: one of an older epoch starts over, which may return keys
// again but misses none.
func (s *session) scan(r *request, args [][]byte) {
	r.cursor = true
	at := r.cmd.CursorArg
	epoch := s.sh.hints.Load().epoch
	r.epoch = epoch
	if epoch == 0 || at >= len(args) {
		return
	}
	cursor, err := strconv.ParseUint(string(args[at]), 10, 64)
	if err != nil || cursor == 0 {
		return
	}
	plain := uint64(0)
	if int(cursor>>epochShift) == epoch {
		plain = cursor & (1<<epochShift - 1)
	}
	r.src = withCursor(args, at, plain)
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
