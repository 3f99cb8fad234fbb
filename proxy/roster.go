package proxy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"
)

// about is what others may see of a session. It is replaced, never changed.
type about struct {
	name, libName, libVer, user string
	db                          int
	resp3                       bool
}

// tell lets others see the session as it is now. Called by its goroutine after each change.
func (s *session) tell() {
	a := &about{name: s.name, libName: s.libName, libVer: s.libVer, user: "default", db: s.db, resp3: s.resp3}
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

// describe is the session's line as CLIENT LIST has it.
func (s *session) describe() string {
	a := s.about.Load()
	s.sh.lock()
	pins, subs, psubs, ssubs := s.shown(), len(s.subs.channels), len(s.subs.patterns), len(s.subs.sharded)
	s.sh.unlock()
	multi, watch := -1, 0
	if pins&pinTransaction != 0 {
		multi = int(s.queuedParts.Load())
	}
	if pins&pinWatch != 0 {
		watch = 1
	}
	protocol, command := "2", "NULL"
	if a.resp3 {
		protocol = "3"
	}
	if c := s.last.Load(); c != nil {
		command = strings.ToLower(strings.ReplaceAll(c.Name, " ", "|"))
	}
	now := time.Now()
	var b strings.Builder
	field := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name + "=" + value)
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	field("id", strconv.FormatInt(s.id, 10))
	field("addr", s.conn.RemoteAddr().String())
	field("laddr", s.conn.LocalAddr().String())
	field("name", a.name)
	field("age", seconds(now.Sub(s.since)))
	field("idle", seconds(now.Sub(time.Unix(0, s.active.Load()))))
	field("flags", flagsOf(pins))
	field("db", strconv.Itoa(a.db))
	field("sub", strconv.Itoa(subs))
	field("psub", strconv.Itoa(psubs))
	field("ssub", strconv.Itoa(ssubs))
	field("multi", strconv.Itoa(multi))
	field("watch", strconv.Itoa(watch))
	field("omem", strconv.Itoa(s.out.size()))
	field("cmd", command)
	field("user", a.user)
	field("resp", protocol)
	field("lib-name", a.libName)
	field("lib-ver", a.libVer)
	return b.String()
}

// flagsOf are the letters by which servers say in what state a client is.
func flagsOf(p pins) string {
	flags := ""
	for _, f := range []struct {
		why    pins
		letter string
	}{{pinMonitor, "O"}, {pinTransaction, "x"}, {pinBlocked, "b"}, {pinSubscribed, "P"}, {pinState, "t"}} {
		if p&f.why != 0 {
			flags += f.letter
		}
	}
	if flags == "" {
		return "N"
	}
	return flags
}

// filter chooses among sessions, as CLIENT LIST and CLIENT KILL do.
type filter struct {
	ids                     map[int64]bool
	kind, user, addr, laddr string
	skipMe                  bool
	maxAge                  time.Duration
}

func (f *filter) matches(s, me *session) bool {
	a := s.about.Load()
	kind := "normal"
	if flags := flagsOf(s.pinsNow()); strings.Contains(flags, "P") {
		kind = "pubsub"
	}
	switch {
	case f.ids != nil && !f.ids[s.id],
		f.kind != "" && f.kind != kind,
		f.user != "" && f.user != a.user,
		f.addr != "" && f.addr != s.conn.RemoteAddr().String(),
		f.laddr != "" && f.laddr != s.conn.LocalAddr().String(),
		f.skipMe && s == me,
		f.maxAge > 0 && time.Since(s.since) < f.maxAge:
		return false
	}
	return true
}

func (s *session) pinsNow() pins {
	s.sh.lock()
	defer s.sh.unlock()
	return s.shown()
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

// parseFilter reads the words behind CLIENT LIST or CLIENT KILL; trouble is the error reply for those that a
// server would not take.
func parseFilter(words [][]byte, kill bool) (f filter, trouble string) {
	f.skipMe = kill
	for i := 0; i < len(words); {
		if i+1 >= len(words) {
			return f, errSyntax
		}
		option, value := strings.ToUpper(string(words[i])), string(words[i+1])
		i += 2
		switch {
		case option == "ID":
			f.ids = map[int64]bool{}
			for again := true; again; i++ {
				id, err := strconv.ParseInt(value, 10, 64)
				if err != nil || id < 1 {
					return f, map[bool]string{true: errClientID, false: "-ERR Invalid client ID\r\n"}[kill]
				}
				f.ids[id] = true
				if again = !kill && i < len(words); again {
					value = string(words[i])
				}
			}
			i--
		case option == "TYPE":
			f.kind = strings.ToLower(value)
			switch f.kind {
			case "normal", "pubsub", "master", "primary", "replica", "slave":
			default:
				return f, "-ERR Unknown client type '" + printable([]byte(value)) + "'\r\n"
			}
		case option == "USER":
			f.user = value
		case option == "ADDR":
			f.addr = value
		case option == "LADDR":
			f.laddr = value
		case option == "SKIPME" && kill && strings.EqualFold(value, "yes"):
			f.skipMe = true
		case option == "SKIPME" && kill && strings.EqualFold(value, "no"):
			f.skipMe = false
		case option == "MAXAGE" && kill:
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 1 {
				return f, "-ERR maxage should be greater than 0\r\n"
			}
			f.maxAge = time.Duration(seconds) * time.Second
		default:
			return f, errSyntax
		}
	}
	return f, ""
}

// clientList is CLIENT LIST: the proxy's clients, for those are whom its user would ask about.
func (s *session) clientList(words [][]byte) bool {
	f, trouble := parseFilter(words, false)
	if trouble != "" {
		return s.answer([]byte(trouble))
	}
	var b strings.Builder
	for _, other := range s.srv.all() {
		if f.matches(other, s) {
			b.WriteString(other.describe() + "\n")
		}
	}
	return s.answer(s.text(b.String()))
}

// text is a reply of plain text, of which RESP3 has a type of its own.
func (s *session) text(t string) []byte {
	if s.resp3 {
		return []byte("=" + strconv.Itoa(len(t)+4) + "\r\ntxt:" + t + "\r\n")
	}
	return redcon.AppendBulkString(nil, t)
}

// clientKill is CLIENT KILL, of the proxy's clients.
func (s *session) clientKill(words [][]byte) bool {
	old := len(words) == 1
	f, trouble := filter{addr: string(words[0])}, ""
	if !old {
		f, trouble = parseFilter(words, true)
	}
	if trouble == "" && f.user != "" && !s.userExists(f.user) {
		trouble = "-ERR No such user '" + printable([]byte(f.user)) + "'\r\n"
	}
	if trouble != "" {
		return s.answer([]byte(trouble))
	}
	killed, me := 0, false
	for _, other := range s.srv.all() {
		if !f.matches(other, s) {
			continue
		}
		killed++
		if other == s {
			me = true // once it has its answer
			continue
		}
		other.close(Killed)
	}
	switch {
	case !old:
		s.answer([]byte(":" + strconv.Itoa(killed) + "\r\n"))
	case killed == 0:
		s.answer([]byte(errNoClient))
	default:
		s.answer([]byte("+OK\r\n"))
	}
	if !me {
		return true
	}
	return s.sayGoodbye(Killed)
}

// userExists asks the primary. Where that cannot be asked, it is taken for granted.
func (s *session) userExists(name string) bool {
	ctx, cancel := s.bound(max(s.sh.opt.PrimaryWait, time.Second))
	defer cancel()
	reply, err := s.sh.control(ctx, "ACL", "GETUSER", name)
	return err != nil || !isNull(reply)
}
