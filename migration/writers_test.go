package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/router"
)

// watched is a world in which others are soon noticed, and soon gone.
func watched(t *testing.T, source, target redisd.Options, change func(*config.Config)) *world {
	t.Helper()
	w := newWorld(t, source, target, func(c *config.Config) {
		c.Tracking, c.TrackingQuiet = "auto", 500*time.Millisecond
		if change != nil {
			change(c)
		}
	})
	w.lookEvery = 20 * time.Millisecond
	return w
}

// stranger connects to a server past the migration, and closes the connection when it is told to.
func (w *world) stranger(s *redisd.Server, db int) *instance.Conn {
	w.t.Helper()
	return w.conn(s.Addr, db)
}

func hasCode(blockers []status.Blocker, code string) bool {
	return slices.ContainsFunc(blockers, func(b status.Blocker) bool { return b.Code == code })
}

func (w *world) cutover(force string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	_, err := w.Cutover(ctx, admin.StepOptions{Force: force})
	return err
}

// TestWritersPastTandem: what they write is on the target, a cutover waits until they are gone, and then all keys have been
// compared once more.
func TestWritersPastTandem(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	if s := w.Status(); s.Tracking.State != status.Idle || s.Tracking.Writers != 0 || len(s.Warnings) != 0 {
		t.Errorf("nobody is there: %+v, %+v", s.Tracking, s.Warnings)
	}
	client, other := w.conn("", 0), w.stranger(w.source, 0)
	for i := range 50 {
		w.do(client, "SET", fmt.Sprint("k", i), "ours")
		w.do(other, "SET", fmt.Sprint("k", i), "theirs")
		w.do(other, "INCR", "counter")
		w.do(client, "INCR", "counter")
	}
	w.until("the writer is seen", func(s status.Status) bool { return s.Tracking.Writers == 1 && hasCode(s.Blockers, foreignWriters) })
	w.logged("others write past Tandem")
	w.until("it is listened to", func(s status.Status) bool {
		return s.Tracking.State == status.Running && s.Tracking.Since != status.Optional[int64]{}
	})
	w.synced()
	n := 0
	w.until("writes are counted", func(s status.Status) bool {
		n++
		w.do(other, "SET", fmt.Sprint("later", n), "theirs")
		counted, _ := s.Tracking.ForeignWrites.Get()
		return counted >= 2
	})
	w.do(other, "DEL", "k0")
	on := w.conn(w.target.Addr, 0)
	w.until("what was deleted is gone from the target", func(s status.Status) bool { return w.do(on, "EXISTS", "k0") == "0" })
	w.synced()
	w.same(0)
	w.until("the writer is seen again", func(s status.Status) bool { return s.Tracking.Writers == 1 }) // same has looked, too
	refused(t, w.cutover(""), foreignWriters)
	refused(t, w.cutover("sweep_owed"), foreignWriters)

	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	w.logged("those who wrote past Tandem are gone")
	w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
	if err := w.cutover(""); err != nil {
		t.Fatal(err)
	}
	w.same(0)
	if got := w.do(w.conn(w.target.Addr, 0), "GET", "counter"); got != "100" {
		t.Errorf("the counter is %s", got)
	}
}

// TestWritersThatReportsDoNotShow: a database swapped, a group that was read from. The comparison at the end finds it.
func TestWritersThatReportsDoNotShow(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, nil)
	before := w.stranger(w.source, 1) // or the first key there would be a reason to compare everything
	w.do(before, "SET", "b", "1")
	_ = before.Close()
	w.run()
	w.synced()
	other := w.stranger(w.source, 0)
	w.do(other, "XADD", "stream", "1-1", "f", "v")
	w.do(other, "XGROUP", "CREATE", "stream", "group", "0")
	w.do(other, "SET", "a", "0")
	w.until("it is listened to", func(s status.Status) bool {
		return s.Tracking.State == status.Running && hasCode(s.Blockers, foreignWriters)
	})
	w.synced()
	if v, err := other.Do(t.Context(), "XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">"); err != nil || len(v.Elems) != 1 {
		t.Fatal(v, err)
	}
	w.do(other, "SWAPDB", "0", "1")
	_ = other.Close()
	w.logged("those who wrote past Tandem are gone")
	w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
	if pending := w.do(w.conn(w.target.Addr, 1), "GET", "a"); pending != "0" {
		t.Errorf("what was swapped is not on the target: %q", pending)
	}
	v, err := w.conn(w.target.Addr, 1).Do(t.Context(), "XPENDING", "stream", "group")
	if err != nil || len(v.Elems) == 0 || v.Elems[0].Int != 1 {
		t.Errorf("the target's group has not what was read from it: %+v, %v", v, err)
	}
}

// TestReadersPastTandem are listened to, and in nobody's way until one writes.
func TestReadersPastTandem(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	reader := w.stranger(w.source, 0)
	w.do(reader, "CLIENT", "SETNAME", "report")
	w.do(reader, "GET", "a")
	w.until("it is listened to", func(s status.Status) bool { return s.Tracking.State == status.Running && s.Tracking.Readers == 1 })
	w.until("nothing is missed from now on", func(status.Status) bool {
		w.ledger.Lock()
		defer w.ledger.Unlock()
		return w.shard.Tracking().Listening
	})
	s := w.Status()
	if len(s.Blockers) > 0 || strings.Count(w.log.String(), "sweep begins") != 1 {
		t.Errorf("a reader is in the way: %+v", s.Blockers)
	}
	if c := s.Tracking.Connections; len(c) != 1 || c[0].Name != "report" || c[0].Instance != "source" || c[0].Writes || c[0].Command != "get" {
		t.Errorf("it is shown as %+v", c)
	}
	n := 0
	w.until("its writes are noticed, though its last command reads", func(s status.Status) bool {
		n++
		if _, err := reader.Pipe(t.Context(), []string{"SET", fmt.Sprint("b", n), "theirs"}, []string{"GET", "a"}); err != nil {
			t.Fatal(err)
		}
		return hasCode(s.Blockers, foreignWriters)
	})
	if err := w.shard.ReadReports(t.Context()); err != nil { // of its last write, too
		t.Fatal(err)
	}
	w.synced()
	w.same(0)
	if err := w.cutover(foreignWriters); err != nil {
		t.Fatal(err)
	}
	if s := w.Status(); s.Phase != status.Reversed || !hasCode(s.Blockers, foreignWriters) {
		t.Errorf("the old source was written to, and that is not in the way of a rollback: %+v", s)
	}
}

// TestWritersToTheOldSource: what they write is nobody's business until it is decided what is to become of it.
func TestWritersToTheOldSource(t *testing.T) {
	forgotten := func(t *testing.T) *world {
		w := watched(t, redisd.Options{}, redisd.Options{}, nil)
		w.run()
		w.synced()
		w.do(w.conn("", 0), "SET", "order", "first")
		w.synced()
		if err := w.cutover(""); err != nil {
			t.Fatal(err)
		}
		other := w.stranger(w.source, 0)
		w.do(other, "SET", "order", "lost")
		w.do(other, "SET", "another", "lost")
		w.until("it is noticed", func(s status.Status) bool { return hasCode(s.Blockers, foreignWriters) })
		_, err := w.Rollback(t.Context(), admin.StepOptions{})
		refused(t, err, foreignWriters)
		_, err = w.Finish(t.Context(), admin.StepOptions{})
		refused(t, err, foreignWriters)
		_ = other.Close()
		w.until("it is gone", func(s status.Status) bool {
			return s.Tracking.Writers == 0 && strings.Contains(fmt.Sprint(s.Blockers), "--repair")
		})
		if got := w.do(w.conn(w.source.Addr, 0), "GET", "another"); got != "lost" {
			t.Errorf("the only copy of what was written is %q", got)
		}
		if w.Status().ReadyToCutover || !hasCode(w.Status().Blockers, foreignWriters) {
			t.Error("it is forgotten that somebody has written")
		}
		return w
	}
	t.Run("who is forgotten by a restart", func(t *testing.T) {
		w := forgotten(t)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.run()
		w.until("it is known still", func(s status.Status) bool { return hasCode(s.Blockers, foreignWriters) })
	})
	t.Run("overwritten", func(t *testing.T) {
		w := forgotten(t)
		for _, repair := range []bool{false, true} {
			id, err := w.Verify(t.Context(), admin.VerifyOptions{Repair: repair})
			if err != nil {
				t.Fatal(err)
			}
			w.until("verified", func(s status.Status) bool { return s.Verify.State == status.Done })
			sum, err := w.VerifyResults(t.Context(), id, 0, func(status.Difference) error { return nil })
			if err != nil || sum.Different != 2 {
				t.Errorf("%+v, %v", sum, err)
			}
			if !repair && !hasCode(w.Status().Blockers, foreignWriters) {
				t.Error("it is settled before anybody has said so")
			}
		}
		w.logged("is settled: all keys were compared")
		w.until("they are equal", func(s status.Status) bool { return len(s.Blockers) == 0 && s.DirtyKeys == 0 && s.UnsettledWrites == 0 })
		w.same(0)
		if _, err := w.Rollback(t.Context(), admin.StepOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("kept by a rollback", func(t *testing.T) {
		w := forgotten(t)
		if _, err := w.Rollback(t.Context(), admin.StepOptions{Force: foreignWriters}); err != nil {
			t.Fatal(err)
		}
		w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
		w.same(0)
		for _, key := range []string{"order", "another"} {
			if got := w.do(w.conn(w.target.Addr, 0), "GET", key); got != "lost" {
				t.Errorf("%s on the target is %q", key, got)
			}
		}
	})
	t.Run("left alone by finish", func(t *testing.T) {
		w := forgotten(t)
		if _, err := w.Finish(t.Context(), admin.StepOptions{Force: foreignWriters}); err != nil {
			t.Fatal(err)
		}
		w.until("nobody listens", func(s status.Status) bool { return s.Tracking.State == status.Idle && len(s.Warnings) == 0 })
	})
}

// TestWritersDuringARestart: whoever was there before may have written while no process ran.
func TestWritersDuringARestart(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	other := w.stranger(w.source, 0)
	w.do(other, "SET", "a", "1")
	w.until("it is listened to", func(s status.Status) bool {
		return s.Tracking.State == status.Running && hasCode(s.Blockers, foreignWriters)
	})
	w.synced()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.do(other, "SET", "a", "2")
	w.do(other, "SET", "b", "2")
	_ = other.Close()
	w.run()
	w.until("ready", func(s status.Status) bool { return s.ReadyToCutover })
	w.same(0)
}

// TestASweepThatGoesOnSettlesNothing: what lies before the checkpoint of an earlier process was compared before others
// wrote there, or may have been. One over all keys settles it.
func TestASweepThatGoesOnSettlesNothing(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.TrackingQuiet = time.Nanosecond })
	for _, goesOn := range []bool{true, false} {
		w.run()
		w.synced()
		if err := w.Pause(t.Context(), admin.StepOptions{}); err != nil {
			t.Fatal(err)
		}
		w.ledger.Lock()
		w.ledger.OweSweep("the test", 0)
		at := state.Checkpoint{DB: 16, Scanned: 100}
		at.Sweep, _, _ = w.ledger.SweepOwed()
		w.ledger.Unlock()
		w.mu.Lock()
		at.RunID = w.seen[instance.Source].facts.RunID
		w.seen[instance.Target].strangers.written = true
		w.mu.Unlock()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.log.Reset()
		w.prepare()
		if w.state.Checkpoint = (state.Checkpoint{}); goesOn {
			w.state.Checkpoint = at
		}
		w.begin()
		w.logged("sweep done")
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(w.log.String(), "the sweep goes on where it was") != goesOn {
			t.Errorf("it went on: %v", !goesOn)
		}
		if settled := strings.Contains(w.log.String(), "is settled: all keys were compared"); settled == goesOn {
			t.Errorf("a sweep that went on: %v, settled what others wrote: %v", goesOn, settled)
		}
	}
}

// TestAlwaysListened, with tracking: on: from the beginning, over a cutover and back, and nobody has to be seen for it.
func TestAlwaysListened(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Tracking = "on" })
	w.run()
	w.synced()
	w.lookNowAndThen(t)
	// Whoever was listened to between two looks may have been noticed, and is not there any more.
	if err := w.cutover("foreign_writers"); err != nil {
		t.Fatal(err)
	}
	w.lookNowAndThen(t)
	if s := w.Status(); s.Backfill.State == status.Running || hasCode(s.Blockers, "sweep_owed") {
		t.Errorf("a rollback would have to wait for a sweep: %+v", s.Blockers)
	}
	if _, err := w.Rollback(t.Context(), admin.StepOptions{Force: "foreign_writers"}); err != nil {
		t.Fatal(err)
	}
}

// lookNowAndThen waits until the primary reports, and has somebody write between two looks.
func (w *world) lookNowAndThen(t *testing.T) {
	t.Helper()
	primary := w.source
	if w.Status().Primary == "target" {
		primary = w.target
	}
	w.until("it is listened to", func(status.Status) bool {
		w.ledger.Lock()
		defer w.ledger.Unlock()
		x := w.shard.Tracking()
		return x.Listening && x.Without == 0
	})
	w.until("no sweep is owed", func(s status.Status) bool { return s.DirtyKeys == 0 })
	i, err := instance.New(instance.Source, "redis://"+primary.Addr, instance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	short, err := i.Conn(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	w.do(short, "SET", "by", primary.Addr)
	_ = short.Close()
	a, b := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	w.until("it is copied", func(status.Status) bool {
		return w.do(a, "GET", "by") == primary.Addr && w.do(b, "GET", "by") == primary.Addr
	})
	_, _ = a.Close(), b.Close()
	w.until("it is said", func(s status.Status) bool {
		// Unless a look fell into the moment, and has seen it.
		return hasCode(s.Warnings, "foreign_writes_unseen") || strings.Contains(w.log.String(), "others write past Tandem") || hasCode(s.Blockers, foreignWriters)
	})
	w.until("nobody is in the way", func(s status.Status) bool { return len(s.Blockers) == 0 && s.DirtyKeys == 0 })
}

// TestNobodyCanTellWhoWrites: CLIENT LIST, or CLIENT TRACKING, or both are refused. It is said.
func TestNobodyCanTellWhoWrites(t *testing.T) {
	for name, x := range map[string]struct {
		denied []string
		want   []string
		state  string
	}{
		"no CLIENT LIST":     {[]string{"-client|list"}, []string{"clients_unknown"}, status.Running},
		"no CLIENT TRACKING": {[]string{"-client|tracking"}, nil, status.Idle},
		"neither":            {[]string{"-client|list", "-client|tracking"}, []string{"clients_unknown", "tracking_unavailable"}, status.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			w := watched(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Secondary.Settle = time.Millisecond })
			admin := w.conn(w.source.Addr, 0)
			w.do(admin, "ACL", "SETUSER", "boss", "on", "nopass", "+@all", "~*", "&*")
			w.do(admin, append([]string{"ACL", "SETUSER", "default"}, x.denied...)...)
			w.run()
			w.until("it is said", func(s status.Status) bool {
				for _, code := range x.want {
					if !hasCode(s.Warnings, code) {
						return false
					}
				}
				return s.Phase == status.Synced && s.Tracking.State == x.state
			})
			if s := w.Status(); len(s.Warnings) != len(x.want) {
				t.Errorf("%+v", s.Warnings)
			}
			for _, warning := range w.Status().Warnings {
				if warning.Message == "" || warning.Remedy == "" {
					t.Errorf("%+v says too little", warning)
				}
			}
		})
	}
}

// TestWhatIsEvictedGoesFromTheTarget.
func TestWhatIsEvictedGoesFromTheTarget(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	admin, client := w.conn(w.source.Addr, 0), w.conn("", 0)
	w.do(admin, "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
	w.do(admin, "CONFIG", "SET", "maxmemory", "4mb")
	value := strings.Repeat("v", 10_000)
	for i := range 600 {
		w.do(client, "SET", fmt.Sprint("k", i), value)
	}
	w.until("it is listened to", func(s status.Status) bool { return s.Tracking.State == status.Running })
	for i := range 600 {
		w.do(client, "SET", fmt.Sprint("l", i), value)
	}
	if n := w.do(admin, "DBSIZE"); n >= "900" && len(n) > 2 {
		t.Fatalf("%s keys: nothing was evicted", n)
	}
	w.do(admin, "CONFIG", "SET", "maxmemory", "0")
	w.synced()
	w.same(0)
	if s := w.Status(); hasCode(s.Blockers, foreignWriters) {
		t.Errorf("evictions count as somebody's writes: %+v", s.Blockers)
	}
}

// TestWritersAreOnlyNamed with tracking: off.
func TestWritersAreOnlyNamed(t *testing.T) {
	w := watched(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Tracking = "off" })
	w.run()
	w.synced()
	w.do(w.stranger(w.source, 0), "SET", "a", "theirs")
	w.until("it is said", func(s status.Status) bool { return hasCode(s.Warnings, foreignWriters) })
	if s := w.Status(); !s.ReadyToCutover || s.Tracking.State != status.Idle {
		t.Errorf("%+v", s)
	}
}

// TestWhoCountsAsStranger: replicas, monitoring and Tandem itself do not.
func TestWhoCountsAsStranger(t *testing.T) {
	for _, x := range []struct {
		c    instance.Client
		want router.Use
	}{
		{instance.Client{Command: "set", Flags: "N"}, router.UsesWrites},
		{instance.Client{Command: "set", Flags: "N", Idle: time.Hour, DB: 3, User: "app"}, router.UsesWrites},
		{instance.Client{Command: "blpop", Flags: "b"}, router.UsesWrites},
		{instance.Client{Command: "get", Flags: "N"}, router.UsesReads},
		{instance.Client{Command: "get", Flags: "r"}, router.UsesReads},
		{instance.Client{Command: "psync", Flags: "S"}, router.UsesNothing},
		{instance.Client{Command: "set", Flags: "M"}, router.UsesNothing},
		{instance.Client{Command: "ping", Name: "sentinel-0123-cmd"}, router.UsesNothing},
		{instance.Client{Command: "subscribe", Flags: "P"}, router.UsesNothing},
		{instance.Client{Command: "info"}, router.UsesNothing},
		{instance.Client{Command: "NULL"}, router.UsesNothing},
		{instance.Client{Command: "set", Name: instance.ConnName("0123", "lane-0-1", "1.2")}, router.UsesNothing},
		{instance.Client{Command: "set", Name: instance.PrecheckName}, router.UsesNothing},
		{instance.Client{Command: "set", Name: "tandem-of-mine"}, router.UsesWrites},
	} {
		got := router.UsesNothing
		if found := strangersIn([]instance.Client{x.c}); len(found) == 1 {
			got = found[0].use
		}
		if got != x.want {
			t.Errorf("%+v: %d, want %d", x.c, got, x.want)
		}
	}
	var order []string
	for _, s := range strangersIn([]instance.Client{
		{Addr: "a", Command: "get"}, {Addr: "b", Command: "set", Idle: 9 * time.Second}, {Addr: "c", Command: "del", Idle: time.Second, Name: "app", User: "u"},
	}) {
		order = append(order, s.String())
	}
	if got := strings.Join(order, ", "); got != "c app as u (del), b (set), a (get)" {
		t.Error(got)
	}
}

// TestTallyOfReports: keys that expire are no writes, however late their reports come.
func TestTallyOfReports(t *testing.T) {
	type look struct {
		runID    string
		reported uint64
		gone     int64
		want     uint64
	}
	for name, looks := range map[string][]look{
		"writes":                    {{"a", 5, 0, 0}, {"a", 8, 0, 3}, {"a", 8, 0, 0}, {"a", 9, 0, 1}},
		"expiries":                  {{"a", 0, 100, 0}, {"a", 50, 150, 0}, {"a", 90, 200, 0}},
		"expiries, reported late":   {{"a", 0, 100, 0}, {"a", 0, 150, 0}, {"a", 50, 150, 0}},
		"both":                      {{"a", 0, 0, 0}, {"a", 20, 10, 10}},
		"the server is another one": {{"a", 0, 100, 0}, {"b", 30, 3, 0}, {"b", 31, 3, 1}},
	} {
		var t1 writesTally
		for i, l := range looks {
			f := instance.Facts{RunID: l.runID, Expired: l.gone}
			if got := t1.add(&f, l.reported); got != l.want {
				t.Errorf("%s, look %d: %d writes, want %d", name, i, got, l.want)
			}
		}
	}
}
