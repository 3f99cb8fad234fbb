package child

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// shell runs a script as a child that has said "ready", or that has ended if it does so by itself.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Spawn("the script", "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if strings.Contains(script, "; exit ") && !strings.Contains(script, "trap") { // it ends by itself
		select {
		case <-p.Exited():
		case <-ctx.Done():
			t.Fatal("the script does not end")
		}
		return p
	}
	err = p.Await(ctx, "ready", func() error {
		if !strings.Contains(p.Log(), "ready") {
			return errors.New("nothing said yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		script   string
		patience time.Duration
		says     string // of the error; empty for none
	}{
		"a program that drains":        {"trap 'echo drained; exit 0' INT; echo ready; while :; do sleep 0.01; done", stopTimeout, ""},
		"a program without a handler":  {"echo ready; exec sleep 600", stopTimeout, ""},
		"a program that fails":         {"trap 'echo not settled; exit 1' INT; echo ready; while :; do sleep 0.01; done", stopTimeout, "not settled"},
		"a program that does not end":  {"trap '' INT; echo ready; while :; do sleep 0.01; done", 50 * time.Millisecond, "was killed"},
		"a program that ended already": {"echo ready; exit 3", stopTimeout, "exit status 3"},
	} {
		p := shell(t, c.script)
		p.patience = c.patience
		if already := strings.Contains(name, "already"); (p.Ended() != nil) != already {
			t.Errorf("%s: %v before it was stopped", name, p.Ended())
		}
		for range 2 { // the second says the same
			err := p.Stop()
			if (err == nil) != (c.says == "") || err != nil && c.patience == stopTimeout && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", name, err, c.says)
			}
		}
		select {
		case <-p.Exited():
		default:
			t.Errorf("%s: process %d still runs", name, p.PID())
		}
		if err := p.Ended(); err == nil || !strings.Contains(err.Error(), "ready") {
			t.Errorf("%s: after it was stopped: %v", name, err)
		}
	}
}

func TestAwaitGivesUpWhenTheProcessEnds(t *testing.T) {
	p := shell(t, "echo ready; echo out of memory; exit 7")
	err := p.Await(t.Context(), "listening", func() error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "before it was listening") || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v", err)
	}
}

func TestAwaitGivesUpInTime(t *testing.T) {
	p := shell(t, "echo ready; exec sleep 600")
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := p.Await(late, "listening", func() error { return errors.New("refused") })
	if err == nil || !strings.Contains(err.Error(), "not listening") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("too late: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Await(over, "listening", func() error { return errors.New("refused") }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	if _, err := Spawn("a proxy", "/does/not/exist"); err == nil || !strings.Contains(err.Error(), "a proxy") {
		t.Errorf("got %v", err)
	}
}

func TestFreeAddrIsFree(t *testing.T) {
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	if Dialable(addr) == nil {
		t.Errorf("something listens on %s", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Dialable(addr); err != nil {
		t.Error(err)
	}
}

func TestChildIsConfiguredByItsFlagsAlone(t *testing.T) {
	got := withoutSettings([]string{"PATH=/bin", "TANDEM_LISTEN=:1", "TANDEM_ADMIN_TOKEN=x", "HOME=/", "MY_TANDEM_=1"})
	if want := []string{"PATH=/bin", "HOME=/", "MY_TANDEM_=1"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
