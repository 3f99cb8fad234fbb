package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

const secret = "s3cr3t-p@ss"

// eachServer runs a test on every version of a server that this machine has.
func eachServer(t *testing.T, args []string, f func(t *testing.T, s *redisd.Server)) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			f(t, redisdtest.Start(t, redisd.Options{Binary: b.Path, Args: args}))
		})
	}
}

// at is the instance of a server, as a user ("user:password@", or "").
func at(t *testing.T, s *redisd.Server, user string) *Instance {
	t.Helper()
	i, err := New(Source, "redis://"+user+s.Addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func connect(t *testing.T, i *Instance, name string, db int) *Conn {
	t.Helper()
	c, err := i.Conn(t.Context(), name, db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func do(t *testing.T, c *Conn, args ...string) resp.Value {
	t.Helper()
	v, err := c.Do(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAConnectionIsAuthenticatedNamedAndInItsDatabase(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, s *redisd.Server) {
		admin := connect(t, at(t, s, ""), "", 0)
		do(t, admin, "ACL", "SETUSER", "app", "on", ">"+secret, "~*", "+@all")
		c := connect(t, at(t, s, "app:"+secret+"@"), ConnName("00", "lane", "1"), 5)
		if !c.Named {
			t.Error("not named")
		}
		if v := do(t, c, "CLIENT", "GETNAME"); string(v.Str) != "tandem:00:lane:1" {
			t.Errorf("name %q", v.Str)
		}
		if v := do(t, c, "ACL", "WHOAMI"); string(v.Str) != "app" {
			t.Errorf("user %q", v.Str)
		}
		do(t, c, "SET", "k", "v")
		do(t, admin, "SELECT", "5")
		if v := do(t, admin, "GET", "k"); string(v.Str) != "v" {
			t.Errorf("database 5 has %q", v.Str)
		}
	})
}

func TestGreetingForLanes(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{Password: secret})
	for _, c := range []struct {
		user, name string
		db         int
		replies    int
	}{
		{":" + secret + "@", "tandem:00:lane:1", 3, 3},
		{":" + secret + "@", "", 0, 1},
		{"", "", 3, 1},
		{"", "", 0, 0},
	} {
		i := at(t, s, c.user)
		frames, n := i.Greeting([]byte("x"), c.name, c.db)
		if n != c.replies || frames[0] != 'x' {
			t.Fatalf("%+v: %d replies, %q", c, n, frames)
		}
		if c.user == "" {
			continue // this server wants a password
		}
		conn, err := i.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(frames[1:]); err != nil {
			t.Fatal(err)
		}
		r := reader{conn: conn}
		for k := range n {
			v, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if named, err := i.GreetingReply(c.name, c.db, k, v); !named || err != nil {
				t.Errorf("reply %d %q: named %v, %v", k, v.Str, named, err)
			}
		}
		if named, err := i.GreetingReply(c.name, c.db, n, resp.Value{Kind: '+'}); err == nil {
			t.Errorf("a reply too many is taken, named %v", named)
		}
	}
}

func TestCredentialErrorsSayWhatToDo(t *testing.T) {
	protected := redisdtest.Start(t, redisd.Options{Password: secret})
	open := redisdtest.Start(t, redisd.Options{})
	renamed := redisdtest.Start(t, redisd.Options{Args: []string{"--rename-command", "AUTH", ""}})
	for name, c := range map[string]struct {
		server *redisd.Server
		user   string
		want   string
	}{
		"none given":         {protected, "", "asks for a password"},
		"wrong password":     {protected, ":wrong-s3cr3t@", "refuses the password of the default user"},
		"unknown user":       {protected, "nobody:" + secret + "@", `refuses the password of user "nobody"`},
		"password not asked": {open, ":" + secret + "@", "has no password set"},
		"AUTH renamed":       {renamed, "app:" + secret + "@", "kept back"},
	} {
		t.Run(name, func(t *testing.T) {
			i := at(t, c.server, c.user)
			_, err := i.Conn(t.Context(), "tandem:00:x:1", 0)
			if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), i.Addr) {
				t.Errorf("got %v, want ErrCredentials with %q", err, c.want)
			}
			_, clientErr := i.Client(t.Context(), "tandem:00:x:1", ClientOptions{})
			if !errors.Is(clientErr, ErrCredentials) {
				t.Errorf("Client: %v", clientErr)
			}
			if strings.Contains(fmt.Sprint(err, clientErr), "s3cr3t") {
				t.Errorf("the password is in %v / %v", err, clientErr)
			}
		})
	}
}

func TestAServerBefore6KnowsNoUsers(t *testing.T) {
	i := fakeServer(t, func(int, []string) string { return "-ERR wrong number of arguments for 'auth' command\r\n" })
	i, err := New(Source, "redis://app:"+secret+"@"+i.Addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Conn(t.Context(), "", 0); !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), "redis://:password@") {
		t.Fatalf("got %v", err)
	}
}

func TestARefusedNameIsTolerated(t *testing.T) {
	rules := map[string][]string{
		"all of CLIENT": {"+@all", "-client"},
		"SETNAME alone": {"+@all", "-client|setname"},
		"none but GET":  {"-@all", "+get"},
	}
	s := redisdtest.Start(t, redisd.Options{})
	admin := connect(t, at(t, s, ""), "", 0)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			do(t, admin, append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw", "~*"}, rule...)...)
			i := at(t, s, "app:pw@")
			c := connect(t, i, "tandem:00:x:1", 0)
			if c.Named || !i.unnamed.Load() {
				t.Error("the connection counts as named")
			}
			do(t, c, "GET", "k")
			client, err := i.Client(t.Context(), "tandem:00:y:1", ClientOptions{NoTouch: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Do(t.Context(), client.B().Get().Key("k").Build()).Error(); !rueidis.IsRedisNil(err) {
				t.Error(err)
			}
		})
	}
	renamed := redisdtest.Start(t, redisd.Options{Args: []string{"--rename-command", "CLIENT", ""}})
	if c := connect(t, at(t, renamed, ""), "tandem:00:x:1", 0); c.Named {
		t.Error("CLIENT renamed: the connection counts as named")
	}
}

func TestAServerThatDoesNotServe(t *testing.T) {
	mute := func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1)) }
	gone := redisdtest.Start(t, redisd.Options{})
	gone.Kill()
	full := redisdtest.Start(t, redisd.Options{Args: []string{"--maxclients", "1"}})
	eventually(t, "the only place is taken", func() bool { // the one that saw the server start may hold it still
		c, err := at(t, full, "").Conn(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, err = c.Do(t.Context(), "PING")
		return err == nil
	})
	says := func(text string) *Instance {
		return listen(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = c.Write([]byte(text))
		})
	}
	unknown, err := New(Target, "redis://no-such-host.invalid:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		i    *Instance
		want error
		text string
	}{
		"not listening":     {at(t, gone, ""), ErrUnreachable, "refused"},
		"unknown host":      {unknown, ErrUnreachable, "target no-such-host.invalid:1"},
		"never answers":     {listen(t, mute), ErrNoAnswer, "in time"},
		"hangs up":          {listen(t, func(net.Conn) {}), ErrNoAnswer, ""},
		"hangs up half way": {says("$100\r\nabc"), ErrNoAnswer, "closed"},
		"maxclients":        {at(t, full, ""), ErrNoAnswer, "maxclients"},
		"protected mode":    {says("-DENIED Redis is running in protected mode because ...\r\n"), ErrCredentials, "protected mode"},
		"a web server":      {says("HTTP/1.1 400 Bad Request\r\n\r\n"), ErrNotRedis, ""},
		"a TLS alert":       {says("\x15\x03\x01\x00\x02\x02\x16"), ErrNotRedis, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "never answers" {
				c.i.opts.DialTimeout = 50 * time.Millisecond
			}
			for _, connect := range []func(context.Context) error{
				func(ctx context.Context) error { _, err := c.i.Conn(ctx, "tandem:00:x:1", 0); return err },
				func(ctx context.Context) error {
					_, err := c.i.Client(ctx, "tandem:00:x:1", ClientOptions{})
					return err
				},
				func(ctx context.Context) error { _, err := c.i.Facts(ctx); return err },
				func(ctx context.Context) error {
					_, err := c.i.EnsureDead(ctx, func(string) bool { return true }, 0)
					return err
				},
			} {
				err := connect(t.Context())
				if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) || !strings.Contains(fmt.Sprint(err), c.i.String()) {
					t.Errorf("got %v, want %v with %q, naming %s", err, c.want, c.text, c.i)
				}
			}
		})
	}
}

func TestAContextEndsWhatWaits(t *testing.T) {
	arrived := make(chan struct{}, 1)
	i := fakeServer(t, func(_ int, args []string) string {
		if args[0] == "BLPOP" {
			arrived <- struct{}{}
			return "+" // a reply that does not end
		}
		return "+OK\r\n"
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	c := connect(t, i, "x", 0)
	enough := errors.New("enough")
	go func() { <-arrived; cancel(enough) }()
	if _, err := c.Do(ctx, "BLPOP", "k", "0"); !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Do(t.Context(), "PING"); !errors.Is(err, enough) {
		t.Fatalf("a connection out of step answers: %v", err)
	}
	if _, err := i.Conn(ctx, "x", 0); !errors.Is(err, enough) {
		t.Fatalf("Conn with an ended context: %v", err)
	}
}

func TestRepliesOfEverySizeAndCut(t *testing.T) {
	big := strings.Repeat("x", 300_000)
	i := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<16))
		for _, part := range []string{"+O", "K\r", "\n:1\r\n*2\r\n$1\r\na\r\n$", fmt.Sprint(len(big)), "\r\n", big[:100_000], big[100_000:], "\r\n"} {
			if _, err := c.Write([]byte(part)); err != nil {
				return
			}
		}
		_, _ = c.Read(make([]byte, 1))
	})
	c := connect(t, i, "", 0)
	v, err := c.Pipe(t.Context(), []string{"A"}, []string{"B"}, []string{"C"})
	if err != nil {
		t.Fatal(err)
	}
	// All are looked at after the last was read: none may be overwritten by a later one.
	if string(v[0].Str) != "OK" || v[1].Int != 1 || string(v[2].Elems[0].Str) != "a" || string(v[2].Elems[1].Str) != big {
		t.Fatalf("got %q, %d, %d elements", v[0].Str, v[1].Int, len(v[2].Elems))
	}
}

func TestErrorRepliesName(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	c := connect(t, at(t, s, ""), "", 0)
	do(t, c, "SET", "k", "v")
	_, err := c.Do(t.Context(), "LPUSH", "k", "private value")
	var reply *ReplyError
	if !errors.As(err, &reply) || reply.Code() != "WRONGTYPE" || errors.Is(err, ErrCommandRefused) {
		t.Fatalf("got %v", err)
	}
	if want := "source " + s.Addr + ": LPUSH: WRONGTYPE"; !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "private") {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := c.Do(t.Context(), "NOSUCH"); !errors.Is(err, ErrCommandRefused) {
		t.Errorf("unknown command: %v", err)
	}
	if _, err := c.Do(t.Context(), "CLIENT", "NOSUCH"); !errors.Is(err, ErrCommandRefused) {
		t.Errorf("unknown subcommand: %v", err)
	}
	do(t, c, "PING") // error replies do not end a connection
}

func TestWhatCountsAsRefused(t *testing.T) {
	for text, want := range map[string]bool{
		"NOPERM this user has no permissions to run the 'client' command or its subcommand":    true,
		"NOPERM User app has no permissions to run the 'client|list' command":                  true,
		"ERR unknown command 'CLIENT', with args beginning with: 'LIST' ":                      true,
		"ERR Unknown subcommand or wrong number of arguments for 'NO-TOUCH'. Try CLIENT HELP.": true,
		"ERR unknown subcommand 'NO-TOUCH'. Try CLIENT HELP.":                                  true,
		"ERR command is not allowed":                              true,
		"ERR 'config' command not support for normal user":        true,
		"ERR DB index is out of range":                            false,
		"ERR syntax error":                                        false,
		"OOM command not allowed when used memory > 'maxmemory'.": false,
		"MISCONF Redis is configured to save RDB snapshots ... Commands that may modify the data are disabled": false,
		"BUSY Redis is busy running a script":            false,
		"LOADING Redis is loading the dataset in memory": false,
		"NOAUTH Authentication required.":                false,
		"":                                               false,
	} {
		if got := errors.Is(&ReplyError{Text: text}, ErrCommandRefused); got != want {
			t.Errorf("%q: refused %v", text, got)
		}
	}
}
