package proxy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"tandem/router"
)

// about is what others may see of a session. It is replaced, never changed.
type about struct {
	name, libName, libVer, user string
	db                          int
	resp3, noEvict              bool
}

// tell lets others see the session as it is now. Called by its goroutine after each change.
func (s *session) tell() {
	a := &about{name: s.name, libName: s.libName, libVer: s.libVer, user: "default", db: s.db, resp3: s.resp3,
		noEvict: s.noEvict}
	if s.who != nil && s.who.name != "" {
		a.user = s.who.name
	}
	s.about.Store(a)
}

// all returns the sessions that are connected, in the order of their ids.
func (srv *Server) all() []*session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := make([]*session, 0, len(srv.sessions))
	for s := range srv.sessions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (srv *Server) byID(id int64) *session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

// describe is the session's line as CLIENT LIST has it. The lock is held.
func (s *session) describe() string {
	a := s.about.Load()
	pins, subs, psubs, ssubs := s.shown(), len(s.subs.channels), len(s.subs.patterns), len(s.subs.sharded)
	multi, watch := -1, 0
	if pins&pinTransaction != 0 {
		multi = int(s.queuedParts.Load())
	}
	if pins&pinWatch != 0 {
		watch = 1
	}
	server, protocol, command, redirect := s.sh.hints.Load().server, 2, "NULL", int64(-1)
	if a.resp3 {
		protocol = 3
	}
	if c := s.last.Load(); c != nil {
		command = strings.ToLower(strings.ReplaceAll(c.Name, " ", "|"))
		if !redis70.in(server) {
			command, _, _ = strings.Cut(command, "|")
		}
	}
	if f := s.trackingFrame(); f != nil {
		redirect = f.redirect
	}
	now := time.Now()
	var b strings.Builder
	field := func(name string, value any) {
		if !listedSince[name].in(server) {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, name, "=", value)
	}
	field("id", s.id)
	field("addr", s.conn.RemoteAddr())
	field("laddr", s.conn.LocalAddr())
	field("name", a.name)
	field("age", int(now.Sub(s.since)/time.Second))
	field("idle", int(now.Sub(time.Unix(0, s.active.Load()))/time.Second))
	field("flags", s.flags())
	field("capa", s.capabilities())
	field("db", a.db)
	field("sub", subs)
	field("psub", psubs)
	field("ssub", ssubs)
	field("multi", multi)
	field("watch", watch)
	field("omem", s.out.size())
	field("cmd", command)
	field("user", a.user)
	field("redir", redirect)
	field("resp", protocol)
	field("lib-name", a.libName)
	field("lib-ver", a.libVer)
	return b.String()
}

// listedSince is from when on servers list a field; those without an entry have always been there.
var listedSince = map[string]release{"laddr": redis62, "ssub": redis70, "watch": maxAge, "redir": redis62, "resp": redis70,
	"lib-name": redis72, "lib-ver": redis72, "capa": valkey81}

// flags are the letters by which servers say in what state a client is. The lock is held.
func (s *session) flags() string {
	pins, flags := s.shown(), ""
	tracking := s.trackingFrame()
	for _, f := range []struct {
		is     bool
		letter string
	}{
		{pins&pinMonitor != 0, "O"}, {pins&pinSubscribed != 0, "P"}, {pins&pinTransaction != 0, "x"}, {pins&pinBlocked != 0, "b"},
		{tracking != nil, "t"}, {tracking != nil && tracking.broadcasts(), "B"}, {s.about.Load().noEvict, "e"}, {s.keeps("CLIENT NO-TOUCH"), "T"},
	} {
		if f.is {
			flags += f.letter
		}
	}
	if flags == "" {
		return "N"
	}
	return flags
}

// capabilities are the letters of what the client has said that it can do. The lock is held.
func (s *session) capabilities() string {
	if s.keeps("CLIENT CAPA") {
		return "r"
	}
	return ""
}

// shown is what others may know of its pins: it blocks when the server has its command. The lock is held.
func (s *session) shown() pins {
	p := s.pins &^ pinBlocked
	if s.blocks != nil {
		p |= pinBlocked
	}
	return p
}

const (
	errSyntax   = "-ERR syntax error\r\n"
	errNoClient = "-ERR No such client\r\n"
	errClientID = "-ERR client-id should be greater than 0\r\n"
)

// clientInfo is CLIENT INFO.
func (s *session) clientInfo() bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	line := s.describe()
	s.sh.unlock()
	return s.answer(textReply(line+"\n", s.resp3))
}

// clientList is CLIENT LIST: the proxy's clients, for those are whom its user would ask about.
func (s *session) clientList(cmd *router.Command, raw []byte, args [][]byte) bool {
	f, ok := s.parseFilter(args[2:], false)
	if !ok {
		return s.pass(cmd, raw) // the server says what is wrong with it
	}
	if f.user != "" {
		// Whether there is such a user only the server knows.
		var refusal []byte
		if !s.askPrimary(cmd, f.listProbe(), s.pins != 0, func(reply []byte) []byte {
			if reply[0] == '-' {
				refusal = reply
			}
			return refusal
		}) || refusal != nil || s.refused {
			return !s.closed.Load()
		}
	}
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	list := s.list(f)
	s.sh.unlock()
	return s.answer(textReply(list, s.resp3))
}

// list are the lines of the sessions that a filter chooses. The lock is held.
func (s *session) list(f *filter) string {
	var b strings.Builder
	for _, other := range s.srv.all() {
		if f.matches(other, s) {
			b.WriteString(other.describe() + "\n")
		}
	}
	return b.String()
}

// textReply is a reply of plain text, of which RESP3 has a type of its own.
func textReply(t string, resp3 bool) []byte {
	if resp3 {
		return []byte("=" + strconv.Itoa(len(t)+4) + "\r\ntxt:" + t + "\r\n")
	}
	return redcon.AppendBulkString(nil, t)
}

// clientKill is CLIENT KILL, of the proxy's clients. What there is to be said against it the server says.
func (s *session) clientKill(cmd *router.Command, args [][]byte) bool {
	f, ok := s.killFilter(args[2:])
	if !ok || f.user != "" {
		refused := false
		if !s.askPrimary(cmd, killProbe(args), s.pins != 0, func(reply []byte) []byte {
			if refused = !ok || reply[0] == '-'; refused {
				return reply
			}
			return nil
		}) || refused || s.refused {
			return !s.closed.Load()
		}
	}
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	s.sh.lock()
	reply, me := s.kill(f)
	s.sh.unlock()
	s.answer(reply)
	if !me {
		return true
	}
	return s.sayGoodbye(Killed)
}

// kill closes the sessions that a filter chooses, but for this one, which is to be closed by the caller (me) once it
// has its answer. The lock is held.
func (s *session) kill(f *filter) (reply []byte, me bool) {
	killed := 0
	for _, other := range s.srv.all() {
		if !f.matches(other, s) {
			continue
		}
		killed++
		if other == s {
			me = true
			continue
		}
		other.close(Killed)
	}
	switch {
	case !f.old:
		return redcon.AppendInt(nil, int64(killed)), me
	case killed == 0:
		return []byte("-ERR No such client\r\n"), me
	}
	return []byte("+OK\r\n"), me
}
