package migration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// twoWayWorld is a world with clients on both servers.
func twoWayWorld(t *testing.T, o redisd.Options, change func(*config.Config)) *world {
	t.Helper()
	return newWorld(t, o, o, func(c *config.Config) {
		c.ListenTarget = "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
}

// bothWays waits until clients are let in at the target.
func (w *world) bothWays() {
	w.t.Helper()
	w.until("two-way", func(s status.Status) bool { return s.Phase == status.TwoWay })
}

// settled waits until both servers hold the same, as far as is known.
func (w *world) settled() {
	w.t.Helper()
	w.until("rest", func(s status.Status) bool {
		return s.DirtyKeys == 0 && s.UnsettledWrites == 0 && s.Source.Connected && s.Target.Connected && s.Backfill.State != status.Running
	})
}

func TestTwoWay(t *testing.T) {
	w := twoWayWorld(t, redisd.Options{}, func(c *config.Config) { c.Start = "manual" })
	w.fill(w.source.Addr, 50, 0, 1)
	w.run()
	if told := w.turnedAway(); !strings.Contains(told, status.Passthrough) {
		t.Errorf("before the start a client of the target is told %q", told)
	}
	if _, err := w.Start(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.bothWays()
	s := w.Status()
	if s.ReadyToCutover || s.TwoWay.State != status.Running {
		t.Errorf("%+v", s)
	}
	_, err := w.Cutover(t.Context(), admin.StepOptions{})
	refused(t, err, "two_way")
	_, err = w.Rollback(t.Context(), admin.StepOptions{})
	refused(t, err, "two_way")

	here, there := w.conn("", 0), w.conn(w.TargetAddr(), 0)
	for i := range 40 {
		c := []*instance.Conn{here, there}[i%2]
		if got := w.do(c, "INCR", "n"); got != strconv.Itoa(i+1) {
			t.Fatalf("INCR number %d is answered %s", i+1, got)
		}
		w.do(c, "SET", fmt.Sprint("key:", i), "of two")
		w.do(c, "EVAL", "return redis.call('APPEND', KEYS[1], ARGV[1])", "1", "text", strconv.Itoa(i))
	}
	other := w.conn(w.TargetAddr(), 1)
	w.do(other, "FLUSHDB")
	w.do(other, "SET", "key:7", "after the flush")
	w.settled()
	w.same(0, 1)
	if _, err := w.Verify(t.Context(), admin.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("verify", func(s status.Status) bool { return s.Verify.State == status.Done })
	if s := w.Status(); s.Verify.Different != 0 {
		t.Errorf("verify has found %d differences", s.Verify.Different)
	}

	// A restart goes on with both; one without listen_target leaves it.
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.bothWays()
	if got := w.do(w.conn(w.TargetAddr(), 0), "INCR", "n"); got != "41" {
		t.Errorf("after a restart the counter is %s", got)
	}
	w.settled()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.ListenTarget = ""
	w.run()
	w.synced()
	if got := w.do(w.conn("", 0), "INCR", "n"); got != "42" {
		t.Errorf("after two-way the counter is %s", got)
	}
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Error(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.ListenTarget = "127.0.0.1:0"
	w.run()
	if told := w.turnedAway(); !strings.Contains(told, status.Reversed) {
		t.Errorf("after a cutover a client of the target is told %q", told)
	}
}

// turnedAway is what a client is told that connects to the target's listener.
func (w *world) turnedAway() string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.TargetAddr())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	told, _ := io.ReadAll(c)
	return string(told)
}

// TestTwoWayOutage: while one server is away the clients of the other one go on, but for keys whose last change is on the
// one that is away alone; and when it is back both hold the same.
func TestTwoWayOutage(t *testing.T) {
	for _, x := range []struct {
		policy, want string // what the key in conflict is in the end
		decided      bool
	}{
		{"wait", "on the target", false},
		{"target", "on the target", false},
		{"source", "on the source", true},
		{"newest", "on the source", true},
	} {
		t.Run(x.policy, func(t *testing.T) {
			t.Parallel()
			w := twoWayWorld(t, redisd.Options{Save: true}, func(c *config.Config) {
				c.TwoWay.Conflict, c.TwoWay.DecideAfter, c.Primary.Wait = x.policy, 100*time.Millisecond, time.Second
			})
			w.run()
			w.bothWays()
			here, there, direct := w.conn("", 0), w.conn(w.TargetAddr(), 0), w.conn(w.source.Addr, 0)
			w.do(there, "SET", "settled", "1")
			w.settled()
			// The source does not take what the target has from now on.
			w.do(direct, "CONFIG", "SET", "maxmemory", "1")
			w.do(there, "SET", "conflict", "on the target")
			w.until("a copy that the source refuses", func(s status.Status) bool { return s.DirtyKeys == 1 })
			w.target.Kill()
			w.until("the target is gone", func(s status.Status) bool { return !s.Target.Connected })
			w.do(direct, "CONFIG", "SET", "maxmemory", "0")
			if got := w.do(here, "INCR", "settled"); got != "2" {
				t.Errorf("a settled key that the target has written is %s", got)
			}
			v, err := here.Do(t.Context(), "SET", "conflict", "on the source")
			switch {
			case x.decided && (err != nil || string(v.Str) != "OK"):
				t.Errorf("the write that decides is answered %q, %v", v.Str, err)
			case !x.decided && (err == nil || !strings.Contains(err.Error(), "two-way")):
				t.Errorf("the write that waits is answered %q, %v", v.Str, err)
			}
			if err := w.target.Restart(true); err != nil {
				t.Fatal(err)
			}
			w.settled()
			w.same(0)
			if got := w.do(direct, "GET", "conflict"); got != x.want {
				t.Errorf("the key in conflict is %q", got)
			}
			if got := w.do(direct, "GET", "settled"); got != "2" {
				t.Errorf("the settled key is %s", got)
			}
			if !x.decided {
				return
			}
			w.until("it is listed", func(s status.Status) bool { return s.TwoWay.Conflicts == 1 && s.TwoWay.List != "" })
			list, err := os.ReadFile(filepath.Join(w.cfg.StateDir, conflictsFile))
			if err != nil || !bytes.Contains(list, []byte(`"key":"conflict"`)) || !bytes.Contains(list, []byte("source")) {
				t.Errorf("the list is %q, %v", list, err)
			}
		})
	}
}

// TestTwoWayServerThatLacksItsEnd: of what both servers held alike the one counts that was not restarted. One that comes back with
// nothing is filled from the other one.
func TestTwoWayServerThatLacksItsEnd(t *testing.T) {
	for _, x := range []struct {
		name string
		keep bool
	}{{"the end is missing", true}, {"all is missing", false}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := twoWayWorld(t, redisd.Options{Save: x.keep}, nil)
			w.lookEvery = 20 * time.Millisecond
			w.fill(w.source.Addr, 20, 0)
			w.run()
			w.bothWays()
			if x.keep { // what comes now is written to no disk
				w.do(w.conn(w.source.Addr, 0), "CONFIG", "SET", "appendonly", "no", "save", "")
			}
			here, there := w.conn("", 0), w.conn(w.TargetAddr(), 0)
			w.do(here, "SET", "late", "of the source")
			w.do(there, "SET", "theirs", "of the target")
			w.do(here, "DEL", "key:3")
			w.settled()
			w.until("the keys are counted", func(status.Status) bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.seen[instance.Source].served.keys == 21
			})
			w.source.Kill()
			if err := w.source.Restart(x.keep); err != nil {
				t.Fatal(err)
			}
			w.until("the source is back", func(s status.Status) bool { return s.Source.Connected && s.Target.Connected })
			w.settled()
			w.same(0)
			direct := w.conn(w.source.Addr, 0)
			for key, want := range map[string]string{"late": "of the source", "theirs": "of the target", "key:3": "", "key:4": "value 0 4"} {
				if got := w.do(direct, "GET", key); got != want {
					t.Errorf("%s is %q on the server that was restarted, want %q", key, got, want)
				}
			}
		})
	}
}

// TestTwoWayIsNotLeftWithChangesOnTheTarget: all would be copied from the source.
func TestTwoWayIsNotLeftWithChangesOnTheTarget(t *testing.T) {
	t.Parallel()
	w := twoWayWorld(t, redisd.Options{}, nil)
	w.run()
	w.bothWays()
	direct := w.conn(w.source.Addr, 0)
	w.do(direct, "CONFIG", "SET", "maxmemory", "1")
	w.do(w.conn(w.TargetAddr(), 0), "SET", "key", "of the target")
	w.until("a copy that the source refuses", func(s status.Status) bool { return s.DirtyKeys == 1 })
	if err := w.stop(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("the process ended with %v", err)
	}
	w.do(direct, "CONFIG", "SET", "maxmemory", "0")
	w.cfg.ListenTarget = ""
	source, target := w.instances()
	if _, err := New(w.cfg, source, target, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrTwoWay) {
		t.Fatalf("without listen_target: %v", err)
	}
	w.cfg.ListenTarget = "127.0.0.1:0"
	w.run()
	w.settled()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.ListenTarget = ""
	w.run()
	w.synced()
	if got := w.do(w.conn("", 0), "GET", "key"); got != "of the target" {
		t.Errorf("the key is %q", got)
	}
}

// instances are the servers as a process knows them.
func (w *world) instances() (source, target *instance.Instance) {
	w.t.Helper()
	source, err := instance.New(instance.Source, "redis://"+w.source.Addr, instance.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	if target, err = instance.New(instance.Target, "redis://"+w.target.Addr, instance.Options{}); err != nil {
		w.t.Fatal(err)
	}
	return source, target
}

// TestTwoWayLosesNothing: both servers and the process die in turn while both sides write, and what was acknowledged is there.
func TestTwoWayLosesNothing(t *testing.T) {
	w := twoWayWorld(t, redisd.Options{Save: true}, nil)
	w.run()
	w.bothWays()
	var told atomic.Int64
	var sides [2]atomic.Int64
	var clients sync.WaitGroup
	var addrs [2]atomic.Pointer[instance.Instance]
	aim := func() {
		for i, addr := range []string{w.Addr(), w.TargetAddr()} {
			in, err := instance.New(instance.Source, "redis://"+addr, instance.Options{ReplyTimeout: 30 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			addrs[i].Store(in)
		}
	}
	aim()
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for i := range 4 {
		clients.Go(func() {
			for !stopped() {
				c, err := addrs[i%2].Load().Conn(t.Context(), "", 0)
				for n := 0; err == nil && !stopped(); n++ {
					if _, err = c.Do(t.Context(), "INCR", fmt.Sprint("shared:", n%2)); err == nil {
						told.Add(1)
						sides[i%2].Add(1)
					}
				}
				if c != nil {
					_ = c.Close()
				}
			}
		})
	}
	busy := func() {
		a, b := sides[0].Load(), sides[1].Load()
		w.until("writes on both sides", func(status.Status) bool { return sides[0].Load() > a+50 && sides[1].Load() > b+50 })
	}
	for _, server := range []*redisd.Server{w.target, w.source} {
		busy()
		server.Kill()
		if err := server.Restart(true); err != nil {
			t.Fatal(err)
		}
	}
	busy()
	_ = w.stop() // in the middle of all that
	w.run()
	aim()
	busy()
	close(stop)
	clients.Wait()
	w.settled()
	w.same(0)
	direct, total := w.conn(w.source.Addr, 0), int64(0)
	for k := range 2 {
		n, err := strconv.ParseInt(w.do(direct, "GET", fmt.Sprint("shared:", k)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	// Those who were not answered may have been counted all the same.
	if n := told.Load(); total < n || total > n+4*10 {
		t.Errorf("the counters come to %d, and %d were acknowledged", total, n)
	}
}

// TestTwoWayKeepsWhatTheOtherHas: a server that comes back in an older state takes back nothing that had reached the other one,
// not even of a key that was written in the moment in which it ended.
func TestTwoWayKeepsWhatTheOtherHas(t *testing.T) {
	w := twoWayWorld(t, redisd.Options{}, nil)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.bothWays()
	here, direct := w.conn("", 0), w.conn(w.source.Addr, 0)
	w.do(here, "SET", "hot", "0")
	w.settled()
	w.do(direct, "SAVE")
	var clients sync.WaitGroup
	var told atomic.Int64
	for range 4 {
		c := w.conn("", 0)
		clients.Go(func() {
			for {
				v, err := c.Do(t.Context(), "INCR", "hot")
				if err != nil {
					return
				}
				if was := told.Load(); v.Int > was {
					told.CompareAndSwap(was, v.Int)
				}
			}
		})
	}
	w.until("many writes", func(status.Status) bool { return told.Load() > 500 })
	w.source.Kill()
	clients.Wait()
	if err := w.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	w.logged("was restarted or replaced")
	w.settled()
	w.same(0)
	// What was on its way between Tandem and the source alone is lost with it.
	if n, err := strconv.ParseInt(w.do(w.conn(w.target.Addr, 0), "GET", "hot"), 10, 64); err != nil || n < 500 {
		t.Errorf("the counter is %d after %d were acknowledged: %v", n, told.Load(), err)
	}
}

// TestTwoWayComesFromTheSource: until both have held the same the source has the truth, whatever happens to it: of a source that comes
// back with few keys during the backfill none is removed because the target lacks it.
func TestTwoWayComesFromTheSource(t *testing.T) {
	w := twoWayWorld(t, redisd.Options{}, func(c *config.Config) { c.Backfill.MaxKeysPerS = 20 })
	w.fill(w.source.Addr, 10, 0)
	w.do(w.conn(w.source.Addr, 0), "SAVE")
	w.fill(w.source.Addr, 200, 0)
	w.run()
	w.until("the backfill", func(s status.Status) bool { return s.Phase == status.Backfill && s.Backfill.State == status.Running })
	if err := w.Pause(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.source.Kill()
	if err := w.source.Restart(true); err != nil {
		t.Fatal(err)
	}
	w.logged("was restarted or replaced")
	if err := w.Resume(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	w.bothWays()
	w.settled()
	w.same(0)
	if n := w.do(w.conn(w.source.Addr, 0), "DBSIZE"); n != "10" {
		t.Errorf("the source has %s keys, and came back with 10", n)
	}
}
