package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/instance"
)

// minTokenLength keeps out tokens that can be guessed.
const minTokenLength = 16

// validate returns everything that is wrong with the values of c. It leaves out the keys in unread: about
// those all has been said. It is pure but for reading the files of passwords and of TLS.
func validate(c *Config, unread map[string]bool) []Problem {
	v := &validator{config: c, unread: unread}
	for _, s := range settings(c) {
		v.value(s)
	}
	v.addresses()
	v.admin()
	v.clients()
	v.listenerTLS("tls.", c.TLS, "clients would not speak TLS")
	v.listenerTLS("admin.tls.", c.Admin.TLS, "callers would not speak TLS")
	v.instanceTLS(instance.Source, c.Source)
	v.instanceTLS(instance.Target, c.Target)
	v.auth()
	v.commands()
	v.hooks()
	v.tracing()
	v.audit()
	v.duplicates()
	v.backfill()
	v.moves()
	v.pair(v.instance(instance.Source, c.Source), v.instance(instance.Target, c.Target))
	return v.problems
}

type validator struct {
	config   *Config
	unread   map[string]bool
	problems []Problem
}

// add notes a problem, unless one is known of the same key.
func (v *validator) add(p Problem) {
	known := slices.ContainsFunc(v.problems, func(q Problem) bool { return q.Key == p.Key })
	if !known && !v.unread[p.Key] {
		v.problems = append(v.problems, p)
	}
}

// value checks one setting against its own tags.
func (v *validator) value(s setting) {
	text := s.text()
	if len(s.oneof) > 0 && !slices.Contains(s.oneof, text) {
		v.add(Problem{Key: s.key, Value: text, Wrong: "is not one of its values", Do: s.form()})
	}
	if slices.Contains(s.later, text) {
		v.add(Problem{Key: s.key, Value: text, Wrong: "is not available in this version", Do: s.form()})
	}
	if s.lo != "" && s.number() < s.bound(s.lo) {
		v.add(Problem{Key: s.key, Value: text, Wrong: "is too small", Do: "set at least " + s.lo})
	}
	if s.hi != "" && s.number() > s.bound(s.hi) {
		v.add(Problem{Key: s.key, Value: text, Wrong: "is too large", Do: "set at most " + s.hi})
	}
}

// number is the value of a setting that has bounds.
func (s setting) number() int64 { return s.field.Int() }

// bound reads a bound of the setting's tags.
func (s setting) bound(text string) int64 {
	n, err := s.parse(text)
	if err != nil {
		panic("config: bound of " + s.key + ": " + err.Error()) // a tag of this package; a test reads all
	}
	switch n := n.(type) {
	case Bytes:
		return int64(n)
	case time.Duration:
		return int64(n)
	case int:
		return int64(n)
	}
	panic("config: " + s.key + " has no bounds")
}

// addresses checks what Tandem listens on.
func (v *validator) addresses() {
	c := v.config
	if c.ListenTarget != "" {
		v.twoWay()
	}
	v.address("listen", c.Listen, "127.0.0.1:6380")
	v.address("admin.listen", c.Admin.Listen, "127.0.0.1:6390")
	if c.Listen == c.Admin.Listen && !strings.HasSuffix(c.Listen, ":0") {
		v.add(Problem{Key: "admin.listen", Value: c.Admin.Listen, Wrong: "is the address of listen too", Do: "give them different ports"})
	}
	if c.StateDir == "" {
		v.add(Problem{Key: "state_dir", Wrong: "is empty", Do: "name a directory that this migration keeps to itself"})
	}
}

// clients checks that the longest argument has room.
func (v *validator) clients() {
	if c := v.config.Clients; c.MemoryBytes < c.MaxBulkBytes {
		v.add(Problem{Key: "clients.memory_bytes", Value: c.MemoryBytes.String(), Wrong: "is less than clients.max_bulk_bytes, " +
			c.MaxBulkBytes.String() + ": a client that sends such an argument would be closed", Do: "set at least that, or lower the other"})
	}
}

func (v *validator) address(key, addr, example string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.add(Problem{Key: key, Value: addr, Wrong: "is not an address", Do: "write host:port, such as " + example})
	}
}

// admin checks that nobody but this machine gets in without a token.
func (v *validator) admin() {
	a := v.config.Admin
	v.tokens()
	key := "admin.token"
	if a.TokenFile != "" {
		if key = "admin.token_file"; a.Token != "" {
			v.add(Problem{Key: key, Value: a.TokenFile, Wrong: "is set while admin.token is set too", Do: "remove one of them"})
			return
		}
	}
	token, err := a.ReadToken()
	if err == nil {
		if token == "" && len(a.Tokens) == 0 && !Loopback(a.Listen) {
			v.add(Problem{Key: "admin.listen", Value: a.Listen, Wrong: "is open to other machines while admin.token is empty",
				Do: "set admin.token or admin.tokens, or listen on 127.0.0.1"})
		}
		err = usableToken(token)
	}
	if err != nil {
		v.add(Problem{Key: key, Value: a.TokenFile, Wrong: "cannot be used", Do: err.Error()})
	}
}

// Loopback tells whether only this machine can connect to an address that is listened on.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// notSet is what is wrong with a setting that has no default.
const notSet = "is not set"

// instance checks one of the two servers; nothing is written per side but the name. It returns the
// server's host:port, or "" if that is not known.
func (v *validator) instance(role instance.Role, i Instance) string {
	side := string(role)
	key, file := side+".url", side+".password_file"
	if i.URL == "" {
		v.add(Problem{Key: key, Wrong: notSet,
			Do: fmt.Sprintf("give --%s, TANDEM_%s or %s in the file: redis://[user:password@]host:port[/db]", side, strings.ToUpper(side), key)})
		return ""
	}
	_, user, _ := i.URL.split()
	_, password, inURL := strings.Cut(strings.TrimSuffix(user, "@"), ":")
	if password == hidden {
		v.add(Problem{Key: key, Value: i.URL.String(), Wrong: "has " + hidden + " for a password, which stands for one that is not shown",
			Do: "put the password itself there"})
	}
	if i.PasswordFile != "" {
		if inURL {
			v.add(Problem{Key: file, Value: i.PasswordFile, Wrong: "is set while " + key + " holds a password too", Do: "remove one of them"})
			i.PasswordFile = ""
		} else if _, err := readPassword(i.PasswordFile); err != nil {
			v.add(Problem{Key: file, Value: i.PasswordFile, Wrong: "cannot be used", Do: err.Error()})
			return ""
		}
	}
	parsed, err := i.parse(role)
	if err != nil {
		// The errors of instance read "source URL: what is wrong: what to do".
		text := strings.TrimPrefix(err.Error(), side+" URL: ")
		wrong, do, ok := strings.Cut(text, ": ")
		if !ok {
			do = "write redis://[user:password@]host:port[/db]"
		}
		v.add(Problem{Key: key, Value: i.URL.String(), Wrong: wrong, Do: do})
		return ""
	}
	return parsed.Addr
}

// pair checks that nothing connects to itself. The addresses are empty where they are not known.
func (v *validator) pair(source, target string) {
	c := v.config
	if source != "" && source == target {
		v.add(Problem{Key: "target.url", Value: c.Target.URL.String(), Wrong: "is the server of source.url too", Do: "name the server to move to"})
	}
	for _, own := range []struct{ key, addr string }{{"listen", c.Listen}, {"listen_target", c.ListenTarget}, {"admin.listen", c.Admin.Listen}} {
		if own.addr != "" && own.addr == source {
			v.add(Problem{Key: own.key, Value: own.addr, Wrong: "is the server of source.url", Do: "listen on another port"})
		}
		if own.addr != "" && own.addr == target {
			v.add(Problem{Key: own.key, Value: own.addr, Wrong: "is the server of target.url", Do: "listen on another port"})
		}
	}
}
