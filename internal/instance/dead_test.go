package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

const testID = "00112233aabbccdd"

// older matches the lanes of testID of generation 1.
func older(name string) bool {
	id, what, generation, ok := ParseConnName(name)
	return ok && id == testID && what == "lane" && generation == "1"
}

// oldLane opens a connection as an earlier lane did: named, greeted.
func oldLane(t *testing.T, i *Instance) net.Conn {
	t.Helper()
	c, _, err := i.Open(t.Context(), ConnName(testID, "lane", "1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// command is the RESP of a command.
func command(args ...string) []byte {
	return appendSteps(nil, []step{{args: args}})
}

// write sends what the kernel takes, without waiting for a server that stands still.
func write(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := c.Write(data); err != nil && !strings.Contains(err.Error(), "timeout") {
		t.Fatal(err)
	}
}

// holdWrites makes the server keep back writes, as in a failover, while it answers all else.
func holdWrites(t *testing.T, admin *Conn) {
	t.Helper()
	do(t, admin, "CLIENT", "PAUSE", "60000", "WRITE")
}

// heldBack waits until the server holds back the commands of n clients.
func heldBack(t *testing.T, admin *Conn, n int) {
	t.Helper()
	want := fmt.Sprintf("blocked_clients:%d\r", n)
	eventually(t, want, func() bool {
		return strings.Contains(string(do(t, admin, "INFO", "clients").Str), want)
	})
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// A write that waits in the server outlives its connection: the danger that EnsureDead is for. If this fails,
// the next test proves nothing.
func TestWithoutEnsureDeadAWriteOutlivesItsConnection(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	i := at(t, s, "")
	admin := connect(t, i, "", 0)
	lane := oldLane(t, i)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	write(t, lane, command("SET", "k", "old"))
	lane.Close()
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the write of the closed connection is executed", func() bool {
		return string(do(t, admin, "GET", "k").Str) == "old"
	})
}

func TestEnsureDeadHeldBackWrites(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, s *redisd.Server) {
		if s.Name == "redis-6.0" {
			return // has no CLIENT PAUSE of writes alone; the next test does without
		}
		i := at(t, s, "")
		admin := connect(t, i, "", 0)
		for k, alive := range []bool{true, false} {
			key := fmt.Sprint("k", k)
			holdWrites(t, admin)
			write(t, oldLane(t, i), command("SET", key, "old"))
			heldBack(t, admin, 1)
			if !alive {
				if killed, err := i.EnsureDead(t.Context(), older, time.Hour); killed != 1 || err != nil {
					t.Fatalf("killed %d, %v", killed, err)
				}
				heldBack(t, admin, 0)
			}
			do(t, admin, "CLIENT", "UNPAUSE")
			heldBack(t, admin, 0)
			if v := do(t, admin, "EXISTS", key); (v.Int == 1) != alive {
				t.Fatalf("the write of a connection that is alive=%v: EXISTS %d", alive, v.Int)
			}
			if alive { // out of the way of the second round
				if _, err := i.EnsureDead(t.Context(), older, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestEnsureDeadFloodsOfAStalledServer(t *testing.T) {
	flood := strings.Repeat(string(command("SET", "k", "old"))+string(command("INCR", "n")), 40_000)
	for name, args := range map[string][]string{
		"one thread": nil,
		// Here reading, executing and freeing a client are done by different threads.
		"I/O threads": {"--io-threads", "3", "--io-threads-do-reads", "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			eachServer(t, args, func(t *testing.T, s *redisd.Server) { deadAfterFlood(t, s, flood) })
		})
	}
}

func deadAfterFlood(t *testing.T, s *redisd.Server, flood string) {
	i := at(t, s, "")
	admin := connect(t, i, "", 0)
	lanes := []net.Conn{oldLane(t, i), oldLane(t, i), oldLane(t, i)}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	for k, lane := range lanes {
		write(t, lane, []byte(flood))
		switch k {
		case 0:
			lane.Close()
		case 1: // reset: the server may have no address for it any more, and executes what it has all the same
			_ = lane.(*net.TCPConn).SetLinger(0)
			lane.Close()
		}
	}
	type result struct {
		killed int
		err    error
	}
	done := make(chan result)
	go func() {
		killed, err := i.EnsureDead(t.Context(), older, time.Hour)
		done <- result{killed, err}
	}()
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err != nil || r.killed < 1 || r.killed > len(lanes) { // the last hangs until it is killed
		t.Fatalf("killed %d of %d, %v", r.killed, len(lanes), r.err)
	}
	do(t, admin, "SET", "k", "new")
	n := string(do(t, admin, "GET", "n").Str)
	for range 500 {
		v, err := admin.Pipe(t.Context(), []string{"GET", "k"}, []string{"GET", "n"})
		if err != nil {
			t.Fatal(err)
		}
		if string(v[0].Str) != "new" || string(v[1].Str) != n {
			t.Fatalf("an old write ran late: k=%s, n=%s was %s", v[0].Str, v[1].Str, n)
		}
	}
}

func TestEnsureDeadHitsOnlyWhatMatches(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, s *redisd.Server) {
		i := at(t, s, "")
		alive := map[string]*Conn{}
		for _, name := range []string{
			"", "app", "tandem", controlName, "tandem:oddly",
			ConnName(testID, "lane", "2"), ConnName(testID, "copier", "1"), ConnName("ffff", "lane", "1"),
		} {
			alive[name] = connect(t, i, name, 0)
		}
		dead := []*Conn{connect(t, i, ConnName(testID, "lane", "1"), 0), connect(t, i, ConnName(testID, "lane", "1"), 7)}
		if killed, err := i.EnsureDead(t.Context(), older, time.Hour); killed != 2 || err != nil {
			t.Fatalf("killed %d, %v", killed, err)
		}
		for name, c := range alive {
			if _, err := c.Do(t.Context(), "PING"); err != nil {
				t.Errorf("%q was hit: %v", name, err)
			}
		}
		for _, c := range dead {
			if _, err := c.Do(t.Context(), "PING"); !errors.Is(err, ErrNoAnswer) {
				t.Errorf("still alive: %v", err)
			}
		}
		// A predicate that says yes to all cannot reach the clients of others, nor itself.
		if killed, err := i.EnsureDead(t.Context(), func(string) bool { return true }, time.Hour); killed != 3 || err != nil {
			t.Fatalf("killed %d, %v", killed, err)
		}
		for _, name := range []string{"", "app", "tandem", controlName, "tandem:oddly"} {
			if _, err := alive[name].Do(t.Context(), "PING"); err != nil {
				t.Errorf("%q was hit: %v", name, err)
			}
		}
	})
}

func TestEnsureDeadWhereClientIsRefused(t *testing.T) {
	const settle = 300 * time.Millisecond
	s := redisdtest.Start(t, redisd.Options{})
	renamed := redisdtest.Start(t, redisd.Options{Args: []string{"--rename-command", "CLIENT", ""}})
	admin := connect(t, at(t, s, ""), "", 0)
	for name, c := range map[string]struct {
		server *redisd.Server
		rule   string
	}{
		"CLIENT":         {s, "-client"},
		"CLIENT LIST":    {s, "-client|list"},
		"CLIENT SETNAME": {s, "-client|setname"},
		"CLIENT KILL":    {s, "-client|kill"},
		"also UNLINK":    {s, "-client -unlink -ping"},
		"renamed":        {renamed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			user := ""
			if c.rule != "" {
				do(t, admin, append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "+@all"}, strings.Fields(c.rule)...)...)
				user = "app:pw@"
			}
			i := at(t, c.server, user)
			oldLane(t, i) // stays open
			began := time.Now()
			killed, err := i.EnsureDead(t.Context(), older, settle)
			if killed != 0 || err != nil {
				t.Fatalf("killed %d, %v", killed, err)
			}
			if took := time.Since(began); took < settle {
				t.Errorf("waited %v of %v", took, settle)
			}
		})
	}
	t.Run("KILL refused, but they are gone", func(t *testing.T) {
		do(t, admin, "ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "+@all", "-client|kill")
		i := at(t, s, "app:pw@")
		if killed, err := at(t, s, "").EnsureDead(t.Context(), older, time.Hour); err != nil {
			t.Fatalf("killed %d, %v", killed, err)
		}
		if killed, err := i.EnsureDead(t.Context(), older, time.Hour); killed != 0 || err != nil {
			t.Fatalf("killed %d, %v", killed, err)
		}
	})
}

func TestSettlingCountsOnlyTimeInWhichTheServerAnswers(t *testing.T) {
	// Four probes of 100 ms make 400 ms. One is answered too late to count, one is hung up on, one finds
	// nobody listening to its greeting.
	probes := 0
	i := fakeServer(t, func(_ int, args []string) string {
		switch args[0] {
		case "PING":
			probes++
			switch probes {
			case 2:
				<-time.After(promptly + 100*time.Millisecond)
			case 3:
				return ""
			}
			return "+PONG\r\n"
		case "CLIENT":
			if args[1] == "SETNAME" && probes == 3 {
				probes++
				return ""
			}
			if args[1] == "LIST" {
				return "-NOPERM no\r\n"
			}
		}
		return "+OK\r\n"
	})
	if killed, err := i.EnsureDead(t.Context(), older, 400*time.Millisecond); killed != 0 || err != nil {
		t.Fatalf("killed %d, %v", killed, err)
	}
	if want := 4 + 3; probes < want { // on a busy machine more are late
		t.Errorf("%d probes, want %d: 4 that count and 3 that do not", probes, want)
	}
}

// listing answers CLIENT LIST with a client of each name, ids from 3 on, and the rest with OK.
func listing(names ...string) string {
	var b strings.Builder
	for k, name := range names {
		fmt.Fprintf(&b, "id=%d addr=1.2.3.4:5 name=%s age=0\n", 3+k, name)
	}
	return fmt.Sprintf("$%d\r\n%s\r\n", b.Len(), &b)
}

func TestEnsureDeadEndsWithItsContext(t *testing.T) {
	for name, refused := range map[string]bool{"a client that does not die": false, "a list that is refused": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			enough := errors.New("enough")
			asked, own := 0, ""
			var kills atomic.Int32 // looked at while a connection may still be served
			i := fakeServer(t, func(_ int, args []string) string {
				if asked++; asked > 8 {
					cancel(enough)
				}
				switch words := strings.Join(args, " "); {
				case args[0] == "CLIENT" && args[1] == "SETNAME":
					own = args[2]
				case words == "CLIENT LIST" && refused:
					return "-NOPERM no\r\n"
				case words == "CLIENT LIST":
					return listing(ConnName(testID, "lane", "1"), own)
				case words == "CLIENT KILL ID 3 ADDR 1.2.3.4:5":
					kills.Add(1)
					return ":1\r\n"
				}
				return "+OK\r\n"
			})
			if _, err := i.EnsureDead(ctx, older, time.Hour); !errors.Is(err, enough) {
				t.Fatalf("got %v", err)
			}
			if (kills.Load() == 0) != refused {
				t.Errorf("%d kills", kills.Load())
			}
		})
	}
}

// A provider's proxy may answer CLIENT LIST with its own connections to the server, not ours to it.
func TestAListWithoutOurselvesProvesNothing(t *testing.T) {
	const settle = 50 * time.Millisecond
	i := fakeServer(t, func(_ int, args []string) string {
		if args[0] == "CLIENT" && args[1] == "LIST" {
			return listing("proxy", "")
		}
		return "+OK\r\n"
	})
	began := time.Now()
	if killed, err := i.EnsureDead(t.Context(), older, settle); killed != 0 || err != nil {
		t.Fatalf("killed %d, %v", killed, err)
	}
	if took := time.Since(began); took < settle {
		t.Errorf("waited %v of %v", took, settle)
	}
	if _, err := i.Others(t.Context(), testID); !errors.Is(err, ErrCommandRefused) {
		t.Errorf("Others: %v", err)
	}
}

func TestOthers(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, s *redisd.Server) {
		i := at(t, s, "")
		for _, name := range []string{
			"app", "tandem:x", ConnName(testID, "lane", "1"), ConnName("bb", "lane", "1"), ConnName("aa", "lane", "3"), ConnName("bb", "effect", "1"),
			ConnName(TrialID, "precheck", "1"),
		} {
			connect(t, i, name, 0)
		}
		others, err := i.Others(t.Context(), testID)
		if err != nil || !slices.Equal(others, []string{"aa", "bb"}) {
			t.Fatalf("got %q, %v", others, err)
		}
	})
	s := redisdtest.Start(t, redisd.Options{Args: []string{"--rename-command", "CLIENT", ""}})
	if _, err := at(t, s, "").Others(t.Context(), testID); !errors.Is(err, ErrCommandRefused) {
		t.Fatalf("CLIENT renamed: %v", err)
	}
}

func TestClientListThatCannotBeRead(t *testing.T) {
	for _, text := range []string{
		"id=x addr=1.2.3.4:5 name=a\n", "addr=1.2.3.4:5 name=a\n", "id=1 name=a\n", "id= addr=a:1 name=a", "garbage",
	} {
		if clients, err := parseClientList(text); !errors.Is(err, ErrNotRedis) {
			t.Errorf("%q: %v, %v", text, clients, err)
		}
	}
	clients, err := parseClientList("id=1 addr=a:1 laddr=b:2 fd=8 name= age=1\r\nid=2 addr=/run/s.sock:0 name=tandem:x:y:1 cmd=client|list\n\nid=3 addr= laddr=b:2 name=c\n")
	if err != nil || !slices.Equal(clients, []Client{
		{ID: 1, Addr: "a:1", Age: time.Second}, {ID: 2, Addr: "/run/s.sock:0", Name: "tandem:x:y:1", Command: "client|list"}, {ID: 3, Name: "c"},
	}) {
		t.Fatalf("%v, %v", clients, err)
	}
}
