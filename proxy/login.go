package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/resp"
	"tandem/router"
)

const (
	noAuth    = "-NOAUTH Authentication required.\r\n"
	wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	// noPassword is what a server says to AUTH with a password alone, when its default user has none.
	noPassword = "-ERR AUTH <password> called without any password configured for the default user. " +
		"Are you sure your configuration is correct?\r\n"
)

// door says whether clients are served that have not logged in.
type door uint8

const (
	doorUnknown door = iota // no connection to the primary has come about yet
	doorOpen
	doorClosed
)

// doorNow is the door, and the account of those who pass an open one. The lock is held.
func (sh *Shard) doorNow() (door, *account) {
	switch sh.opt.Auth.Mode {
	case AuthNone:
		return doorOpen, sh.accounts.own
	case AuthUsers:
		return doorClosed, nil
	}
	if !sh.first.HasCredentials() {
		// The application uses the source without any, and so does the proxy: that is the same.
		return doorOpen, sh.accounts.own
	}
	return sh.primary.door, sh.accounts.nobody
}

// asksWho reports whether it depends on the primary who is served. The lock is not needed.
func (sh *Shard) asksWho() bool {
	return (sh.opt.Auth.Mode == "" || sh.opt.Auth.Mode == AuthServer) && sh.first.HasCredentials()
}

// knock finds out whether the instance serves clients that have not logged in.
func (sh *Shard) knock(ctx context.Context, i *instance.Instance) (door, error) {
	if !sh.asksWho() || !i.HasCredentials() {
		return doorOpen, nil
	}
	reply, err := sh.askAnew(ctx, i, []byte("*1\r\n$4\r\nPING\r\n"))
	switch {
	case err != nil:
		return doorUnknown, err
	case bytes.HasPrefix(reply, []byte("-NOAUTH")):
		return doorClosed, nil
	}
	return doorOpen, nil
}

// askAnew sends one command as the first of a fresh connection, and returns the reply.
func (sh *Shard) askAnew(ctx context.Context, i *instance.Instance, command []byte) ([]byte, error) {
	conn, err := i.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(ctx, conn, command)
}

// ask sends one command on a connection on which nothing is on the way, and returns the reply. It reads no
// byte behind it.
func ask(ctx context.Context, conn net.Conn, command []byte) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(time.Now().Add(stallLimit))
	defer func() { _ = conn.SetDeadline(time.Time{}) }()
	if _, err := conn.Write(command); err != nil {
		return nil, err
	}
	var reply []byte
	var framer resp.Framer
	for one := [1]byte{}; ; {
		if _, err := conn.Read(one[:]); err != nil {
			return nil, err
		}
		if reply = append(reply, one[0]); len(reply) > maxAnswer {
			return nil, errEndless
		}
		_, done, err := framer.Feed(one[:])
		if err != nil {
			return nil, err
		}
		if done {
			return reply, nil
		}
	}
}

// beforeLogin reports whether a server takes the command from a client that has not logged in.
func beforeLogin(cmd *router.Command) bool {
	if cmd == nil {
		return false
	}
	switch cmd.Name {
	case "AUTH", "HELLO", "QUIT", "RESET":
		return true
	}
	return false
}

// admit lets a session act that has not logged in, if the door is open; it waits, as any command, until that is
// known. False: the command was answered.
func (s *session) admit(cmd *router.Command, raw []byte, args [][]byte) (admitted, alive bool) {
	sh := s.sh
	limit := time.NewTimer(sh.opt.PrimaryWait)
	defer limit.Stop()
	sh.lock()
	for late := false; ; {
		d, who := sh.doorNow()
		switch {
		case d == doorOpen:
			sh.enter(s, who, "")
			sh.unlock()
			s.guard.SetLimits(s.srv.Limits)
			return true, true
		case d == doorClosed:
			sh.unlock()
			return false, s.turnAway(cmd, raw, args)
		case late || s.closed.Load():
			why := sh.primary.trouble()
			sh.unlock()
			return false, s.answer(errorReply(nil, "%s cannot be reached for %s, so nobody can log in (%s)",
				sh.Primary(), sh.opt.PrimaryWait, why))
		}
		sh.lanesOf(sh.primary, laneKey{who: sh.accounts.own})
		late = s.pause(limit.C)
	}
}

// turnAway refuses a command of a client that must log in. Servers look first whether they know the command.
func (s *session) turnAway(cmd *router.Command, raw []byte, args [][]byte) bool {
	n := len(args)
	if !s.sh.asksWho() || cmd != nil && (cmd.Arity == n || cmd.Arity < 0 && n >= -cmd.Arity) {
		return s.answer([]byte(noAuth))
	}
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	ctx, cancel := s.bound(max(s.sh.opt.PrimaryWait, time.Second))
	defer cancel()
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) { return s.sh.askAnew(ctx, i, raw) })
	if err != nil || reply[0] != '-' {
		reply = []byte(noAuth)
	}
	return s.answer(reply)
}

// logIn takes the session's credentials: the primary's answer to them. The session has nothing on the way.
func (s *session) logIn(user, password string, plain bool) (reply []byte, ok bool) {
	a, reply := s.verify(user, password, plain)
	if a == nil {
		return reply, false
	}
	s.become(a, password)
	return []byte("+OK\r\n"), true
}

// verify finds out whose credentials these are: nil if nobody's, and then the primary's answer to them, its error in its
// own words. user is DefaultUser with plain when only a password was given.
func (s *session) verify(user, password string, plain bool) (a *account, refusal []byte) {
	sh := s.sh
	switch sh.opt.Auth.Mode {
	case AuthNone:
		return sh.accounts.own, nil
	case AuthUsers:
		want, known := sh.opt.Auth.digest(user)
		got := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
			return nil, []byte(wrongPass)
		}
		return sh.accounts.own, nil
	}
	sh.lock()
	a = sh.accounts.users[user]
	known := a != nil && a.knows(password, time.Now(), sh.opt.Auth.Cache)
	if sh.isOwn(user, password) {
		a, known = sh.accounts.own, true
	}
	sh.unlock()
	if known {
		return a, nil
	}
	args := []string{"AUTH", user, password}
	if plain {
		args = []string{"AUTH", password}
	}
	ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
	defer cancel()
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) { return sh.askAnew(ctx, i, frame(args...)) })
	switch {
	case err != nil:
		return nil, errorReply(nil, "AUTH could not be tried for %s: %v", sh.opt.PrimaryWait, err)
	case string(reply) != "+OK\r\n":
		return nil, reply
	}
	sh.lock()
	defer sh.unlock()
	a = sh.userAccount(user, password)
	a.accept(password, time.Now())
	return a, nil
}

// insist asks the primary again and again until it can be reached, or ctx ends.
func (s *session) insist(ctx context.Context, try func(*instance.Instance) ([]byte, error)) ([]byte, error) {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		reply, err := try(s.sh.Primary())
		if err == nil && bytes.HasPrefix(reply, []byte("-LOADING")) {
			err = errLoading
		}
		if err == nil {
			return reply, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// become makes the session one of the account's. Its own lane, if it has one, is replaced by one of that account
// in the same state; but what it watches cannot be carried over, so its EXEC will fail. Nothing is on the way.
func (s *session) become(a *account, password string) {
	sh := s.sh
	sh.lock()
	defer sh.unlock()
	if s.who == a {
		sh.enter(s, a, password) // which may be another than before
		return
	}
	sh.enter(s, a, password)
	s.guard.SetLimits(s.srv.Limits)
	if old := s.pinned; old != nil {
		s.lostWatch = s.lostWatch || s.pins&pinWatch != 0
		sh.retire(old)
		s.pinned = nil
		if s.on == old {
			s.on = nil
		}
	}
	for s.pins&standing != 0 && !s.closed.Load() {
		if s.repin() != nil {
			s.close(PrimaryLost)
		} else if ln := s.pinned; ln != nil && ln.of == sh.primary && ln.up { // else the roles have changed meanwhile
			ln.flushLocked(s.turn)
			return
		}
	}
}

// auth is the command AUTH.
func (s *session) auth(args [][]byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	user, plain := instance.DefaultUser, len(args) == 2
	if !plain {
		user = string(args[1])
	}
	reply, _ := s.logIn(user, string(args[len(args)-1]), plain)
	return s.answer(reply)
}

// hello is the command HELLO: protocol, credentials and name in one. Its errors are the server's own, which is
// asked on a fresh connection.
func (s *session) hello(args [][]byte) bool {
	if !s.submit() || !s.awaitAnswers() {
		return false
	}
	h, ok := parseHello(args)
	switch {
	case !ok, s.who == nil && h.user == "", len(args) == 1 && !s.sh.hints.Load().server.HasPXAT():
		// Before 6.2 a HELLO must name a protocol.
		return s.helloRefused(args)
	case h.user != "":
		if reply, ok := s.logIn(h.user, h.password, false); !ok {
			return s.answer(reply)
		}
	}
	proto := h.proto
	if proto == 0 {
		proto = 2
		if s.resp3 {
			proto = 3
		}
	}
	if (proto == 3) != s.resp3 && !s.speak(proto) {
		return false
	}
	if h.named {
		s.name = h.name
	}
	reply, err := s.helloReply(proto)
	if err != nil {
		return s.answer(errorReply(nil, "HELLO could not be answered for %s: %v", s.sh.opt.PrimaryWait, err))
	}
	return s.answer(reply)
}

// speak changes the protocol. Nothing is on the way. False: the session has ended.
func (s *session) speak(proto int) bool {
	resp3 := proto == 3
	if s.pins == 0 {
		s.resp3 = resp3
		return true
	}
	return s.onPinned(frame("HELLO", strconv.Itoa(proto)), func(ln *lane, reply []byte) []byte {
		if reply[0] != '-' {
			s.resp3, ln.resp3 = resp3, resp3
		}
		return nil
	})
}

type hello struct {
	proto          int // 0: none given
	user, password string
	name           string
	named          bool
}

// parseHello is what a HELLO asks for; ok is false when the server must say what is wrong with it.
func parseHello(args [][]byte) (h hello, ok bool) {
	if len(args) == 1 {
		return h, true
	}
	var err error
	h.proto, err = strconv.Atoi(string(args[1]))
	if err != nil || h.proto < 2 || h.proto > 3 {
		return h, false
	}
	for i := 2; i < len(args); {
		switch {
		case strings.EqualFold(string(args[i]), "AUTH") && i+2 < len(args):
			h.user, h.password = string(args[i+1]), string(args[i+2])
			i += 3
		case strings.EqualFold(string(args[i]), "SETNAME") && i+1 < len(args):
			h.name, h.named = string(args[i+1]), true
			i += 2
		default:
			return h, false
		}
	}
	return h, validName(h.name)
}

// helloRefused lets a server say what is wrong.
func (s *session) helloRefused(args [][]byte) bool {
	if s.sh.opt.Auth.Mode != AuthServer && s.sh.opt.Auth.Mode != "" && s.who == nil {
		return s.answer([]byte("-NOAUTH HELLO must be called with the client already authenticated, otherwise the " +
			"HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol " +
			"version at the same time\r\n"))
	}
	if s.who == nil {
		// It may be that nobody needs to log in.
		if admitted, alive := s.admitQuietly(args); admitted {
			return s.hello(args)
		} else if !alive {
			return false
		}
	}
	return s.answer(s.helloRefusal(args))
}

// helloRefusal is what the primary says to a HELLO, on a fresh connection.
func (s *session) helloRefusal(args [][]byte) []byte {
	ctx, cancel := s.bound(max(s.sh.opt.PrimaryWait, time.Second))
	defer cancel()
	command := resp.AppendArgs(nil, args)
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		if s.who == nil || s.who.someone {
			return s.sh.askAnew(ctx, i, command)
		}
		conn, _, err := i.Open(ctx, s.sh.ConnName("hello"), 0)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return ask(ctx, conn, command)
	})
	switch {
	case err != nil:
		return errorReply(nil, "HELLO could not be tried for %s: %v", s.sh.opt.PrimaryWait, err)
	case reply[0] != '-':
		return errorReply(nil, "HELLO: the server takes these options and Tandem does not")
	}
	return reply
}

// admitQuietly is admit for a command that need not be refused if the door is closed.
func (s *session) admitQuietly(args [][]byte) (admitted, alive bool) {
	s.sh.lock()
	d, _ := s.sh.doorNow()
	s.sh.unlock()
	if d == doorClosed {
		return false, true
	}
	admitted, alive = s.admit(router.Lookup(args), nil, args)
	return admitted, alive && admitted
}

// helloReply is what the primary answers to HELLO, with the session's own id.
func (s *session) helloReply(proto int) ([]byte, error) {
	sh := s.sh
	sh.lock()
	u := sh.primary
	reply := u.hellos[proto]
	sh.unlock()
	if reply == nil {
		ctx, cancel := s.bound(max(sh.opt.PrimaryWait, time.Second))
		defer cancel()
		var err error
		reply, err = s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
			conn, _, err := i.Open(ctx, sh.ConnName("hello"), 0)
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			return ask(ctx, conn, frame("HELLO", strconv.Itoa(proto)))
		})
		if err != nil {
			return nil, err
		}
		if reply[0] == '-' {
			return reply, nil
		}
		sh.lock()
		u.hellos[proto] = reply
		sh.unlock()
	}
	return withID(reply, s.id), nil
}

// withID puts another client id into a HELLO reply.
func withID(reply []byte, id int64) []byte {
	const field = "$2\r\nid\r\n:"
	at := bytes.Index(reply, []byte(field))
	if at < 0 {
		return reply
	}
	at += len(field)
	end := at + bytes.IndexByte(reply[at:], '\r')
	out := append([]byte(nil), reply[:at]...)
	out = strconv.AppendInt(out, id, 10)
	return append(out, reply[end:]...)
}

// frame is a command as RESP.
func frame(args ...string) []byte { return resp.AppendCommand(nil, args...) }
