package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
	"tandem/internal/tlsconn"
)

// step is one command of a greeting.
type step struct {
	args []string
	// optional: a server that refuses the command (NOPERM, unknown) is served without it.
	optional bool
	// user is who logs in by it, if not the instance's own user.
	user string
}

// greeting is what a new connection says first.
type greeting struct {
	name    string
	db      int
	noTouch bool
	login   Login
}

// steps are in the order in which they must go: AUTH first, for anything else is answered NOAUTH before it.
func (i *Instance) steps(g greeting) []step {
	var s []step
	switch {
	case g.login.Someone || g.login.RESP3:
		s = append(s, i.own(g.login).hello(g.name))
		g.name = ""
	case i.auth:
		// The two-argument form is of 6.0; without a user the old form works everywhere.
		if i.User == "" {
			s = append(s, step{args: []string{"AUTH", i.password()}})
		} else {
			s = append(s, step{args: []string{"AUTH", i.User, i.password()}})
		}
	}
	if g.name != "" {
		s = append(s, step{args: []string{"CLIENT", "SETNAME", g.name}, optional: true})
	}
	if g.db != 0 {
		s = append(s, selectStep(g.db))
	}
	if g.noTouch {
		s = append(s, step{args: []string{"CLIENT", "NO-TOUCH", "ON"}, optional: true})
	}
	return s
}

// Greeting appends to dst what a new connection says first, as RESP commands, and returns how many replies
// to expect: AUTH if there are credentials, CLIENT SETNAME name if name is not empty, SELECT db if db is not
// 0. Each is answered +OK, except that CLIENT SETNAME may be refused (GreetingReply says what is tolerable).
//
// No write may be sent before the greeting is answered: EnsureDead finds a connection by its name, and until
// the answer is there the server may hold the write of a connection that it does not know by name yet.
func (i *Instance) Greeting(dst []byte, name string, db int) (frames []byte, replies int) {
	steps := i.steps(greeting{name: name, db: db})
	return appendSteps(dst, steps), len(steps)
}

// GreetingReply judges reply number k (from 0) to Greeting(name, db). named is false when the reply is that
// of CLIENT SETNAME and the server refused it; the connection can be used all the same, EnsureDead knows of
// it. Any other error reply comes back as an error and the connection must be closed.
func (i *Instance) GreetingReply(name string, db, k int, reply resp.Value) (named bool, err error) {
	steps := i.steps(greeting{name: name, db: db})
	if k < 0 || k >= len(steps) {
		return true, fmt.Errorf("%s: greeting has no reply %d", i, k)
	}
	return i.judge(steps[k], reply)
}

func appendSteps(dst []byte, steps []step) []byte {
	for _, s := range steps {
		dst = redcon.AppendArray(dst, len(s.args))
		for _, a := range s.args {
			dst = redcon.AppendBulkString(dst, a)
		}
	}
	return dst
}

// judge decides what a greeting's reply means. ok is false when an optional step was refused.
func (i *Instance) judge(s step, reply resp.Value) (ok bool, err error) {
	if !reply.IsError() {
		return true, nil
	}
	e := &ReplyError{Text: string(reply.Str)}
	what := s.args[0]
	switch {
	case e.Code() == "DENIED":
		// Said to every new connection, before it asked anything; the server's own text is a page long.
		return false, fmt.Errorf("%s is in protected mode and serves its own host only: set a password there, "+
			"or protected-mode no (%w)", i, ErrCredentials)
	case strings.HasPrefix(e.Text, "ERR max number of clients"):
		return false, fmt.Errorf("%s takes no more connections (its maxclients is reached): %w", i, ErrNoAnswer)
	case e.Code() == "NOAUTH":
		return false, fmt.Errorf("%s asks for a password: write redis://[user]:password@%s (%w)", i, i.Addr, ErrCredentials)
	case what == "AUTH", what == "HELLO":
		return false, i.authError(e, s.user)
	case s.optional && errors.Is(e, ErrCommandRefused):
		if s.args[1] == "SETNAME" {
			i.unnamed.Store(true)
		}
		return false, nil
	}
	return false, fmt.Errorf("%s: %s %s: %w", i, what, s.args[1], e)
}

// authError explains a refused AUTH. The server's own words are shown only where they are known not to quote
// the arguments: where AUTH is renamed, "unknown command" repeats them, password included.
func (i *Instance) authError(e *ReplyError, login string) error {
	if login == "" {
		login = i.User
	}
	user := "the default user"
	if login != "" {
		user = fmt.Sprintf("user %q", login)
	}
	text := strings.ToLower(e.Text)
	switch {
	case e.Code() == "WRONGPASS" || strings.Contains(text, "invalid password"):
		return fmt.Errorf("%s refuses the password of %s (wrong user, wrong password, or the user is off; "+
			"a '%%' in a URL's password is written %%25): %w", i, user, ErrCredentials)
	case strings.Contains(text, "without any password configured"), strings.Contains(text, "no password is set"):
		return fmt.Errorf("%s has no password set for %s: take it out of the URL, or name the right user in "+
			"redis://user:password@%s: %w", i, user, i.Addr, ErrCredentials)
	case strings.Contains(text, "wrong number of arguments"):
		return fmt.Errorf("%s knows no users, only a password (a server before 6.0?): write redis://:password@%s: %w",
			i, i.Addr, ErrCredentials)
	}
	return fmt.Errorf("%s answered AUTH of %s with an error %s, whose text is kept back because it may quote the password: %w",
		i, user, safeCode(e), ErrCredentials)
}

// safeCode is the error's first word if it looks like one of Redis' codes.
func safeCode(e *ReplyError) string {
	code := e.Code()
	for _, c := range code {
		if c < 'A' || c > 'Z' {
			return "without a code"
		}
	}
	return code
}

// greet sends a greeting on a fresh connection and reads its replies, within the dial timeout. named is false
// when the server refused CLIENT SETNAME. No byte beyond the replies is read.
func (i *Instance) greet(ctx context.Context, c net.Conn, g greeting) (named bool, err error) {
	named = true
	steps := i.steps(g)
	if len(steps) == 0 {
		return named, nil
	}
	r := &reader{conn: c}
	defer bound(ctx, c, i.opts.DialTimeout)()
	if _, err := c.Write(appendSteps(nil, steps)); err != nil {
		return false, i.broken(ctx, "greet", err)
	}
	for _, s := range steps {
		reply, err := r.next()
		if err != nil {
			return false, i.broken(ctx, "greet", err)
		}
		ok, err := i.judge(s, reply)
		if err != nil {
			return false, err
		}
		if !ok && len(s.args) > 1 && s.args[1] == "SETNAME" {
			named = false
		}
	}
	if ctx.Err() != nil { // its deadline may be in the connection already
		return false, i.broken(ctx, "greet", ctx.Err())
	}
	return named, nil
}

// broken explains an I/O error of a connection that had come about.
func (i *Instance) broken(ctx context.Context, doing string, err error) error {
	var p *protocolError
	var ne net.Error
	tlsSays, _ := tlsconn.Explained(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %s: %w", i, doing, context.Cause(ctx))
	case tlsSays != "":
		return &handshakeError{text: fmt.Sprintf("%s: TLS: %s", i, tlsSays), cause: err}
	case errors.As(err, &p):
		return fmt.Errorf("%s: %s: %w (%v): is this a TLS port (rediss://), or another service?", i, doing, ErrNotRedis, err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fmt.Errorf("%s: %s: %w in time (stalled, or behind a firewall that swallows packets?)", i, doing, ErrNoAnswer)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: %s: %w: it closed the connection (a TLS port, which needs rediss://, a protected one, or restarting?)", i, doing, ErrNoAnswer)
	}
	if errors.Is(err, syscall.ECONNRESET) && doing == "greet" && i.tls == nil {
		// What Redis does to who speaks to its TLS port without TLS.
		return fmt.Errorf("%s: %s: %w: it reset the connection at its first command: is this a TLS port? "+
			"Then write rediss:// instead of redis://: %w", i, doing, ErrNoAnswer, err)
	}
	return fmt.Errorf("%s: %s: %w: %w", i, doing, ErrNoAnswer, err)
}
