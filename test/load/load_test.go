package load_test

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/wire"
)

var layout = keyspace.Layout{Keys: 2000, Seed: 1}

// begin starts a server, fills it and puts a load directly on it.
func begin(t *testing.T, o redisd.Options, clients int, reconnect bool) (*redisd.Server, *load.Load) {
	t.Helper()
	s := redisdtest.Start(t, o)
	if err := layout.Fill(s.Addr); err != nil {
		t.Fatal(err)
	}
	if err := load.Prepare(s.Addr, clients); err != nil {
		t.Fatal(err)
	}
	conn, err := wire.Dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := conn.Server()
	if err != nil {
		t.Fatal(err)
	}
	l, err := load.Start(load.Config{Addr: s.Addr, Layout: layout, Clients: clients, Seed: 7, Server: server, Reconnect: reconnect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop() })
	return s, l
}

// until waits for a condition, asking often.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestLoadOnAnHonestServerHasNoProblem(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			s, l := begin(t, redisd.Options{Binary: b.Path}, 16, false)
			w := load.Watch(s.Addr, 16)
			until(t, "40,000 commands", func() bool { return l.Commands() > 40_000 })
			pauses := l.Pauses()
			report := l.Stop()
			looks, violations := w.Stop()
			if report.Count != 0 {
				t.Errorf("load: %s", report)
			}
			if len(violations) != 0 || looks == 0 {
				t.Errorf("%d looks, violations: %q", looks, violations)
			}
			if pauses.Slowest <= 0 || pauses.Silence <= 0 || pauses.Silence > pauses.Slowest {
				t.Errorf("pauses %+v: want 0 < silence <= slowest", pauses)
			}
			t.Logf("%s; %d looks", report, looks)
		})
	}
}

// What a proxy that loses, doubles or reorders writes would do, done by another client.
func TestLoadNoticesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		cmd  string
		said string
	}{
		{"an increment doubled", "INCR watch:0:counter:1", "counter:1"},
		{"an increment lost", "DECR watch:0:counter:2", "counter:2"},
		{"an element doubled", "RPUSH watch:0:list x", "watch:0:list"},
		{"a list lost", "DEL own:0:1:list", "own:0:1:list"},
		{"a field lost", "HDEL own:0:1:hash n", "own:0:1:hash"},
		{"a score doubled", "ZINCRBY own:0:1:zset 2 m", "own:0:1:zset"},
		{"a value lost", "DEL own:0:1:text", "own:0:1:text"},
		{"an append doubled", "APPEND own:0:1:text x", "own:0:1:text"},
		{"a member doubled", "SADD own:0:1:set other", "own:0:1:set"},
		{"a float lost", "DEL own:0:1:float", "own:0:1:float"},
		{"a stream entry doubled", "XADD own:0:1:stream * v x", "own:0:1:stream"},
		{"entries delivered twice", "XGROUP SETID own:0:1:stream g 0", "own:0:1:stream"},
		{"a group lost", "XGROUP DESTROY own:0:1:stream g", "own:0:1:stream"},
		{"a lock lost", "DEL own:0:1:slot0 own:0:1:slot1 own:0:1:slot2", "own:0:1:slot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, l := begin(t, redisd.Options{}, 1, false)
			until(t, "a reply", func() bool { return l.Commands() > 3000 })
			if r := l.Report(); r.Count != 0 {
				t.Fatalf("before: %s", r)
			}
			// Again and again: one that hits what is to be overwritten, or not there, is nothing wrong.
			until(t, "the problem noticed", func() bool {
				if _, err := wire.Once(s.Addr, strings.Split(c.cmd, " ")...); err != nil {
					t.Fatal(err)
				}
				return l.Report().Count > 0
			})
			if first := l.Report().Problems[0]; !strings.Contains(first, c.said) {
				t.Errorf("noticed %q, want one about %s", first, c.said)
			}
		})
	}
}

func TestWatcherNoticesWhatNeverWas(t *testing.T) {
	for _, c := range []struct {
		name  string
		cmds  []string
		said  string
		reset bool
	}{
		{"a counter begun from nothing", []string{"SET watch:0:counter:0 5"}, "watch:0:counter:0 was", false},
		{"a counter gone", []string{"DEL watch:0:counter:0"}, "is gone", false},
		{"a list with a hole", []string{"LREM watch:0:list 1 100"}, "watch:0:list had", false},
		{"half a list", []string{"LTRIM watch:0:list 0 49"}, "watch:0:list had", false},
		{"a pair torn", []string{"HSET watch:0:pair a 77"}, "always written together", false},
		{"a deleted key back", []string{"DEL watch:0:tomb:3", "SET watch:0:tomb:3 x"}, "is back", false},
		{"all gone, and told so", nil, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			s := redisdtest.Start(t, redisd.Options{})
			if err := load.Prepare(s.Addr, 1); err != nil {
				t.Fatal(err)
			}
			w := load.Watch(s.Addr, 1)
			defer w.Stop()
			round := load.Tombs/50 + 1 // looks that see every key
			looks := func(n int) {
				before := w.Looks()
				until(t, "looks", func() bool { return w.Looks() >= before+n })
			}
			looks(round)
			for i, cmd := range c.cmds {
				if _, err := wire.Once(s.Addr, strings.Split(cmd, " ")...); err != nil {
					t.Fatal(err)
				}
				looks(round)
				if i+1 < len(c.cmds) {
					if v := w.Violations(); len(v) != 0 {
						t.Fatalf("after %s: %q", cmd, v)
					}
				}
			}
			if c.reset {
				s.Kill()
				w.Reset() // nobody sees anything now
				if err := s.Restart(false); err != nil {
					t.Fatal(err)
				}
				looks(round)
			}
			_, violations := w.Stop()
			if c.said == "" {
				if len(violations) != 0 {
					t.Errorf("violations: %q", violations)
				}
				return
			}
			if len(violations) == 0 || !strings.Contains(strings.Join(violations, "\n"), c.said) {
				t.Errorf("violations %q, want one saying %q", violations, c.said)
			}
		})
	}
}

func TestLostConnectionsAreProblemsUnlessReconnectIsWanted(t *testing.T) {
	for _, reconnect := range []bool{false, true} {
		s, l := begin(t, redisd.Options{}, 4, reconnect)
		until(t, "some commands", func() bool { return l.Commands() > 2000 })
		if _, err := wire.Once(s.Addr, "CLIENT", "KILL", "TYPE", "normal"); err != nil {
			t.Fatal(err)
		}
		if reconnect {
			before := l.Commands()
			until(t, "more commands", func() bool { return l.Commands() > before+20_000 })
		} else {
			until(t, "four problems", func() bool { return l.Report().Count >= 4 })
		}
		if r := l.Stop(); reconnect && r.Count != 0 {
			t.Errorf("with reconnection: %s", r)
		}
	}
}

func TestReconnectedClientsMissWhatACrashLost(t *testing.T) {
	for _, saved := range []bool{true, false} {
		s, l := begin(t, redisd.Options{Save: true}, 4, true)
		until(t, "some commands", func() bool { return l.Commands() > 5000 })
		s.Kill()
		if err := s.Restart(saved); err != nil {
			t.Fatal(err)
		}
		before := l.Commands()
		if saved {
			until(t, "more commands", func() bool { return l.Commands() > before+20_000 })
			if r := l.Stop(); r.Count != 0 {
				t.Errorf("nothing was lost, but %s", r)
			}
		} else {
			until(t, "the loss noticed", func() bool { return l.Report().Count > 0 })
		}
	}
}
