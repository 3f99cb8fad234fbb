package redisd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

func TestStartServesOnTheReportedAddressUntilStop(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	if got := reply(t, s.Addr, "PING"); got != "+PONG" {
		t.Fatalf("PING: %q", got)
	}
	if !strings.HasPrefix(s.Name, "redis-") && !strings.HasPrefix(s.Name, "valkey-") {
		t.Errorf("name %q is no product and version", s.Name)
	}
	pid, dir := s.PID(), s.Dir
	s.Stop()
	if s.PID() != 0 {
		t.Errorf("PID after Stop is %d", s.PID())
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Stop: %v, want none", pid, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary directory after Stop: %v, want none", err)
	}
	s.Stop() // again: nothing
}

func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name           string
		save, kill     bool
		keep, survives bool
	}{
		{"running, data kept by a snapshot", false, false, true, true},
		{"killed, acknowledged writes kept by Save", true, true, true, true},
		{"killed, nothing saved", false, true, true, false},
		{"running, empty", false, false, false, false},
		{"running with Save, empty", true, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := redisdtest.Start(t, redisd.Options{Save: c.save})
			addr := s.Addr
			reply(t, addr, "SET", "k", "v")
			if c.kill {
				s.Kill()
			}
			if err := s.Restart(c.keep); err != nil {
				t.Fatal(err)
			}
			if s.Addr != addr {
				t.Errorf("address changed from %s to %s", addr, s.Addr)
			}
			want := ":0"
			if c.survives {
				want = ":1"
			}
			if got := reply(t, addr, "EXISTS", "k"); got != want {
				t.Errorf("EXISTS after restart: %q, want %q", got, want)
			}
		})
	}
}

func TestPauseKeepsConnectionsAndAnswersNothing(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addr)
	c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if got, err := c.do("PING"); err == nil {
		t.Fatalf("a paused server answered %q", got)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := reply(t, s.Addr, "PING"); got != "+PONG" {
		t.Fatalf("PING after Continue: %q", got)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	s.Stop() // a paused server must not hang Stop
}

func TestPasswordIsRequired(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{Password: "secret"})
	if got := reply(t, s.Addr, "GET", "k"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("GET without AUTH: %q", got)
	}
	if want := "redis://:secret@" + s.Addr; s.URL() != want {
		t.Errorf("URL %q, want %q", s.URL(), want)
	}
	if err := s.Restart(true); err != nil {
		t.Errorf("restart with a password: %v", err)
	}
}

func TestStartFailureSaysWhy(t *testing.T) {
	busy := redisdtest.Start(t, redisd.Options{})
	for _, c := range []struct {
		name string
		opts redisd.Options
		want string
	}{
		{"not installed", redisd.Options{Binary: "no-such-redis-server"}, "apt-get install"},
		{"no such path", redisd.Options{Binary: "./no/such/server"}, "no such file"},
		{"not a server", redisd.Options{Binary: "true"}, "not a Redis or Valkey server"},
		{"port taken", redisd.Options{Port: busy.Port}, "in use"},
		{"bad argument", redisd.Options{Args: []string{"--no-such-option", "1"}}, "no-such-option"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := redisd.Start(c.opts)
			if err == nil {
				s.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestGivenDirectoryStays(t *testing.T) {
	dir := t.TempDir()
	s := redisdtest.Start(t, redisd.Options{Dir: dir, Save: true})
	reply(t, s.Addr, "SET", "k", "v")
	s.Stop()
	files, err := filepath.Glob(filepath.Join(dir, "appendonly*"))
	if err != nil || len(files) == 0 {
		t.Errorf("no append-only file in %s after Stop: %v", dir, err)
	}
}

func TestEveryBinaryStartsUnderItsName(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			s := redisdtest.Start(t, redisd.Options{Binary: b.Path, Save: true})
			if s.Name != b.Name {
				t.Errorf("started %s, listed as %s", s.Name, b.Name)
			}
			reply(t, s.Addr, "SET", "k", "v")
			s.Kill()
			if err := s.Restart(true); err != nil {
				t.Fatal(err)
			}
			if got := reply(t, s.Addr, "EXISTS", "k"); got != ":1" {
				t.Errorf("EXISTS after Kill and Restart(true): %q", got)
			}
		})
	}
}
