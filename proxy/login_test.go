package proxy

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// locked is a server with a password, and a user ann who may do little.
var locked = redisd.Options{Password: "secret", Args: []string{"--user", "ann", "on", ">annpw", "~ann:*", "+@all", "-@dangerous", "+info"}}

// ids are what is no difference between a server and the proxy in front of it.
var ids = regexp.MustCompile(`(\$2 id :|[( ]id=)\d+`)

// twins sends the same to a server and to the proxy in front of it, and compares what comes back byte for byte.
func (h *house) twins(commands ...string) {
	h.t.Helper()
	direct, through := dial(h.t, h.source.Addr), h.client()
	for _, command := range commands {
		want := ids.ReplaceAllString(direct.do(command), "$1*")
		if got := ids.ReplaceAllString(through.do(command), "$1*"); got != want {
			h.t.Errorf("%s (of %q):\n got %q\nwant %q", command, commands, got, want)
		}
	}
}

func TestLoginsAreAnsweredAsByTheServer(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			o := locked
			o.Binary = b.Path
			h := newHouseOn(t, o, redisd.Options{Binary: b.Path, Password: "secret"}, true, nil)
			for _, conversation := range [][]string{
				{"GET a", "PING", "SELECT 1", "NOSUCH", "MULTI", "CLIENT ID", "AUTH wrong", "GET a", "AUTH secret", "GET a"},
				{"AUTH ann wrong", "AUTH nobody x", "AUTH ann annpw", "SET ann:a 1", "GET bob:a", "SET bob:a 1", "FLUSHALL", "ACL WHOAMI",
					"AUTH default secret", "ACL WHOAMI", "SET bob:a 2", "GET bob:a"},
				{"AUTH", "AUTH a b c", "AUTH a b c d"},
				{"HELLO", "HELLO 2", "HELLO 3", "HELLO 4", "HELLO x", "HELLO 3 AUTH ann wrong", "HELLO 3 AUTH ann annpw", "ACL WHOAMI", "HGETALL ann:h",
					"GET ann:none", "HELLO 2", "GET ann:none", "HELLO"},
				{"HELLO 3 AUTH default secret SETNAME me", "CLIENT GETNAME", "HELLO 3 SETNAME", "HELLO 3 SETNAME a\tb", "HELLO 3 NOSUCH", "HELLO 2 SETNAME you",
					"CLIENT GETNAME", "HELLO 3 AUTH ann", "RESET", "GET a", "AUTH secret", "CLIENT GETNAME"},
				{"QUIT"},
				{"RESET"},
				{"HELLO 3 AUTH ann annpw", "MULTI", "SET ann:t 1", "SET bob:t 1", "EXEC", "MULTI", "SET ann:t 2", "EXEC", "GET ann:t"},
				{"AUTH ann annpw", "EVAL return 0", "KEYS *", "DEBUG SLEEP 0", "PUBLISH ann:c 1", "PUBLISH bob:c 1", "SUBSCRIBE bob:c", "CONFIG GET save",
					"RENAME ann:t bob:t", "COPY bob:t ann:t", "MGET ann:t bob:t", "SORT ann:l BY bob:*", "BLPOP bob:l 0.01", "BLPOP ann:l 0.01"},
			} {
				if b.Name == "redis-6.0" && strings.Contains(fmt.Sprint(conversation), "RESET") {
					continue // 6.2
				}
				h.twins(conversation...)
			}
			h.settled()
			h.equal(0, "ann:a", "bob:a", "ann:t")
		})
	}
}

// Limits before authentication are the server's.
func TestWhoHasNotLoggedInMaySayLittle(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, false, nil)
	c := h.client()
	c.expect("AUTH secret", "+OK")
	c.expect("GET a", "$-1") // so it is known by now that the server asks for a login
	c = h.client()
	c.send("*11\r\n")
	if got := c.reply(); got != "-ERR Protocol error: unauthenticated multibulk length" {
		t.Error(got)
	}
	c = h.client()
	c.send("*2\r\n$20000\r\n")
	if got := c.reply(); got != "-ERR Protocol error: unauthenticated bulk length" {
		t.Error(got)
	}
	c = h.client()
	big := strings.Repeat("v", 20000)
	// Behind a login in the same write, they are gone.
	c.send(string(resp.AppendCommand(nil, "AUTH", "secret")) + string(resp.AppendCommand(nil, "SET", "k", big)))
	if a, b := c.reply(), c.reply(); a != "+OK" || b != "+OK" {
		t.Error(a, b)
	}
}

func TestPasswordsAreForgottenWithTheLastSession(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, false, func(o *Options, _ *ServerOptions) { o.Auth.Cache = time.Minute })
	c := h.client()
	c.expect("AUTH ann annpw", "+OK")
	c.expect("SET ann:a 1", "+OK")
	account := func() *account {
		h.shard.lock()
		defer h.shard.unlock()
		return h.shard.accounts.users["ann"]
	}
	ann := account()
	if ann.password != "annpw" || len(ann.sessions) != 1 {
		t.Fatalf("%q, %d sessions", ann.password, len(ann.sessions))
	}
	_ = c.Close()
	h.await("the password is forgotten", func() bool { return ann.password == "" && len(ann.sessions) == 0 })
	// The server accepts another password now; the old one is taken for a while, without asking.
	admin := dial(t, h.source.Addr)
	admin.expect("AUTH secret", "+OK")
	admin.expect("ACL SETUSER ann <annpw >newpw", "+OK")
	c = h.client()
	c.expect("AUTH ann wrong", "-WRONGPASS invalid username-password pair or user is disabled.")
	c.expect("AUTH ann annpw", "+OK")
	c.expect("GET ann:a", "$1 1") // by the lane that is there
	other := h.client()
	other.expect("AUTH ann newpw", "+OK")
	other.expect("GET ann:a", "$1 1")
	_ = c.Close()
	_ = other.Close()
	h.await("both are gone", func() bool { return len(ann.sessions) == 0 })
	// A lane that breaks while nobody is there is not opened again, and leaves nothing behind.
	h.shard.lock()
	h.shard.primary.lanes[laneKey{who: ann}].each(func(ln *lane) { _ = ln.conn.Close() })
	h.shard.unlock()
	h.await("the lane is gone", func() bool {
		gone := true
		h.shard.primary.lanes[laneKey{who: ann}].each(func(*lane) { gone = false })
		return gone
	})
	c = h.client()
	c.expect("AUTH ann newpw", "+OK")
	c.expect("GET ann:a", "$1 1")
	if !h.shard.PrimaryUp() {
		t.Error("a lane is missing")
	}
}

func TestUsersOfTheConfiguration(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, true, func(o *Options, _ *ServerOptions) {
		o.Auth = Auth{Mode: AuthUsers, Users: map[string][32]byte{"app": sha256.Sum256([]byte("apppw")), "default": sha256.Sum256([]byte("d"))}}
	})
	c := h.client()
	c.expect("GET a", "-NOAUTH Authentication required.")
	for _, wrong := range []string{"AUTH secret", "AUTH app x", "AUTH ann annpw", "AUTH nobody d", "HELLO 3 AUTH app d"} {
		c.expect(wrong, "-WRONGPASS invalid username-password pair or user is disabled.")
	}
	if got := c.do("HELLO 3"); !strings.HasPrefix(got, "-NOAUTH HELLO must be called") {
		t.Error(got)
	}
	c.expect("AUTH d", "+OK")
	c.expect("SET a 1", "+OK")
	c = h.client()
	if got := c.do("HELLO 3 AUTH app apppw"); !strings.HasPrefix(got, "%7") {
		t.Error(got)
	}
	c.expect("GET a", "$1 1")
	c.expect("GET none", "_")
	h.settled()
	h.equal(0, "a")
}

// Another password of a user counts from the next login on, and the one before no longer.
func TestUsersOfTheConfigurationGetAnotherPassword(t *testing.T) {
	password := "first"
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, true, func(o *Options, _ *ServerOptions) {
		first := sha256.Sum256([]byte(password))
		o.Auth = Auth{Mode: AuthUsers, Users: map[string][32]byte{"app": first}, Reread: map[string]func() [32]byte{
			"app": func() [32]byte { return sha256.Sum256([]byte(password)) },
		}}
	})
	const refused = "-WRONGPASS invalid username-password pair or user is disabled."
	c := h.client()
	c.expect("AUTH app first", "+OK")
	c.expect("SET a 1", "+OK")
	password = "second"
	other := h.client()
	other.expect("AUTH app first", refused)
	other.expect("AUTH app second", "+OK")
	c.expect("GET a", "$1 1")
}

func TestNobodyNeedsToLogIn(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, true, func(o *Options, _ *ServerOptions) { o.Auth.Mode = AuthNone })
	c := h.client()
	c.expect("SET a 1", "+OK")
	c.expect("AUTH whatever", "+OK")
	c.expect("GET a", "$1 1")
	h.settled()
	h.equal(0, "a")
}

// The two servers may know the application by other passwords: it goes on with the source's.
func TestOwnCredentialsOutliveACutover(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "other", Args: []string{"--user", "ann", "on", ">annpw", "~ann:*", "+@all"}}, true, nil)
	c, ann := h.client(), h.client()
	c.expect("AUTH secret", "+OK")
	c.expect("SET a 1", "+OK")
	ann.expect("AUTH ann annpw", "+OK")
	ann.expect("SET ann:a 1", "+OK")
	h.settled()
	h.swap(h.tgt, h.src)
	c.expect("INCR a", ":2")
	ann.expect("INCR ann:a", ":2")
	if got := ann.do("INCR a"); !strings.HasPrefix(got, "-NOPERM") {
		t.Error(got)
	}
	later := h.client()
	later.expect("GET a", "-NOAUTH Authentication required.")
	later.expect("AUTH secret", "+OK")
	later.expect("GET a", "$1 2")
	h.settled()
	h.equal(0, "a", "ann:a")
}

// A user who is deleted is disconnected by the server, and so are the sessions that it is served by.
func TestADeletedUserIsDisconnected(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, false, nil)
	ann, other := h.client(), h.client()
	ann.expect("AUTH ann annpw", "+OK")
	ann.expect("SET ann:a 1", "+OK")
	other.expect("AUTH secret", "+OK")
	other.expect("ACL DELUSER ann", ":1")
	if _, err := ann.r.ReadByte(); err == nil {
		t.Error("the session of a deleted user goes on")
	}
	other.expect("GET ann:a", "$1 1")
}

// The lanes of a user whose password has been changed are opened with the one that the client has given since.
func TestANewPasswordIsTaken(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, false, nil)
	c, d := h.client(), h.direct(h.source)
	c.expect("AUTH ann annpw", "+OK")
	c.expect("SET ann:1 a", "+OK")
	d.expect("ACL SETUSER ann resetpass >other", "+OK")
	c.expect("AUTH ann other", "+OK")
	d.expect("CLIENT KILL USER ann", ":1")
	h.await("the lane is gone", func() bool { return h.shard.counts.LanesLost == 1 })
	c.expect("GET ann:1", "$1 a")
}

// That the proxy's own credentials are refused for a time says nothing of a user's.
func TestARefusalOfOurOwnLoginShutsNobodyOut(t *testing.T) {
	h := newHouseOn(t, redisd.Options{Password: "own"}, redisd.Options{}, false, func(o *Options, _ *ServerOptions) { o.PrimaryWait = 10 * time.Second })
	admin := h.direct(h.source)
	admin.expect("ACL SETUSER app on >secret ~* +@all", "+OK")
	c := h.client()
	c.expect("AUTH app secret", "+OK")
	c.expect("SET a 1", "+OK")
	admin.expect("CONFIG SET requirepass another", "+OK")
	if got := admin.do("CLIENT KILL TYPE normal SKIPME yes"); got[0] != ':' {
		t.Fatal(got)
	}
	h.await("the lane is refused", func() bool {
		for k, ls := range h.shard.primary.lanes {
			if k.who.name == "app" && strings.Contains(ls.shared[0].lastErr, "refuses the password") {
				return true
			}
		}
		return false
	})
	admin.expect("CONFIG SET requirepass own", "+OK")
	c.expect("GET a", "$1 1")
	if n := h.server.Closed(ShutOut); n != 0 {
		t.Errorf("%d were shut out", n)
	}
}
