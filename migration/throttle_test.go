package migration

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

func (w *world) throttled(o admin.ThrottleOptions) status.ThrottleStatus {
	w.t.Helper()
	s, err := w.Throttle(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// A limit that is changed counts at once, before and after a cutover; what is no value changes nothing; and a restart goes by
// the configuration.
func TestThrottleIsChangedWhileItRuns(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Backfill.MaxKeysPerS = 20 })
	w.fill(w.source.Addr, 500, 0)
	w.run()
	w.until("the sweep", func(s status.Status) bool { return s.Backfill.KeysScanned > 0 })
	if s := w.Status().Throttle; s.KeysPerS != status.Known[int64](20) || s.Changed || s.Window != status.NoWindows || s.Workers != 4 {
		t.Errorf("as configured: %+v", s)
	}
	bad, few, workers, none := -1, int64(1000), 0, true
	for _, o := range []admin.ThrottleOptions{{MaxKeysPerS: &bad}, {MaxBytesPerS: &few}, {WindowBytes: &few}, {Workers: &workers}, {Windows: &none}} {
		if _, err := w.Throttle(t.Context(), o); !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if s := w.throttled(admin.ThrottleOptions{}); s.Changed || s.KeysPerS != status.Known[int64](20) {
		t.Errorf("after what is refused: %+v", s)
	}
	all, bytes, inFlight, workers := 0, int64(50<<20), int64(1<<20), 7
	s := w.throttled(admin.ThrottleOptions{MaxKeysPerS: &all, MaxBytesPerS: &bytes, WindowBytes: &inFlight, Workers: &workers})
	want := status.ThrottleStatus{BytesPerS: status.Known(bytes), WindowBytes: inFlight, Workers: 7, Changed: true, Window: status.NoWindows,
		Governor: status.GovernorOff}
	if s != want {
		t.Errorf("changed: %+v, want %+v", s, want)
	}
	w.synced()
	w.logged("throttle changed")
	if _, err := w.Cutover(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := w.Status().Throttle; s != want {
		t.Errorf("after a cutover: %+v, want %+v", s, want)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	if s := w.Status().Throttle; s.Changed || s.KeysPerS != status.Known[int64](20) || s.Workers != 4 {
		t.Errorf("after a restart: %+v", s)
	}
}

// Outside of its windows the backfill waits, which status says, and until when; clients' writes go on reaching both servers.
func TestTheBackfillWaitsForItsWindow(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) {
		c.Backfill.TimeZone = "Europe/Berlin"
		c.Backfill.Windows = []config.Window{{From: "22:00", To: "06:00", MaxKeysPerS: 5000}}
	})
	w.fill(w.source.Addr, 200, 0)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var day atomic.Pointer[time.Time]
	set := func(hour, minute int) {
		at := time.Date(2026, 3, 4, hour, minute, 0, 0, berlin)
		day.Store(&at)
	}
	set(12, 0)
	w.prepare()
	w.hooks.clock = func() time.Time { return *day.Load() }
	w.hooks.windowsEvery = 5 * time.Millisecond
	w.applyWindows()
	w.begin()
	opens := time.Date(2026, 3, 4, 22, 0, 0, 0, berlin)
	w.until("the wait", func(s status.Status) bool {
		return s.Backfill.State == status.Paused && s.Backfill.KeysScanned > 0 && s.Throttle.Window == status.WindowClosed &&
			s.Throttle.WindowUntil == status.Known(opens.UnixMilli())
	})
	w.do(w.conn("", 0), "SET", "new", "1")
	target := w.conn(w.target.Addr, 0)
	w.until("the write on the target", func(status.Status) bool { return w.do(target, "GET", "new") == "1" })
	if n := w.do(target, "DBSIZE"); n != "1" {
		t.Errorf("%s keys on the target", n)
	}
	s := w.Status()
	if len(s.Blockers) != 1 || s.Blockers[0].Code != "sweep_owed" || !strings.Contains(s.Blockers[0].Remedy, "2026-03-04 22:00 CET") {
		t.Errorf("blockers: %+v", s.Blockers)
	}
	set(22, 0)
	w.synced()
	if s := w.Status().Throttle; s.Window != status.WindowOpen || s.KeysPerS != status.Known[int64](5000) ||
		s.WindowUntil != status.Known(opens.Add(8*time.Hour).UnixMilli()) {
		t.Errorf("in the window: %+v", s)
	}
	w.same(0)

	// By day again, all keys are to be compared; somebody does not want to wait.
	set(30, 0)
	w.until("the end of the window", func(s status.Status) bool { return s.Throttle.Window == status.WindowClosed })
	w.ledger.Lock()
	w.ledger.OweSweep("a test", 0)
	w.ledger.Unlock()
	w.until("the second wait", func(s status.Status) bool {
		return s.Phase == status.Backfill && s.Backfill.State == status.Paused && s.Backfill.KeysScanned > 0
	})
	off := false
	if s := w.throttled(admin.ThrottleOptions{Windows: &off}); s.Window != status.WindowsIgnored || !s.Changed || s.KeysPerS != (status.Optional[int64]{}) {
		t.Errorf("ignored: %+v", s)
	}
	w.synced()
}

// A pause outlasts a restart, and so does its end.
func TestAPauseOutlastsARestart(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, func(c *config.Config) { c.Backfill.MaxKeysPerS = 20 })
	w.fill(w.source.Addr, 200, 0)
	w.run()
	w.until("the sweep", func(s status.Status) bool { return s.Backfill.KeysScanned > 0 })
	if err := w.Pause(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.until("the pause", func(s status.Status) bool { return s.Backfill.State == status.Paused && s.Backfill.KeysScanned > 0 })
	if err := w.Resume(t.Context(), admin.StepOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.cfg.Backfill.MaxKeysPerS = 0
	w.run()
	w.synced()
	w.same(0)
}

// What is owed at the end of a process, or while clients are held, waits for no limit.
func TestNoLimitWhereOthersWait(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, nil)
	w.run()
	w.synced()
	c := w.conn("", 0)
	noise := make([]byte, 256<<10) // a DUMP would be small else
	rand.NewChaCha8([32]byte{}).Read(noise)
	w.do(c, "SET", "large", string(noise))
	// dirty uses up the allowance of many seconds by a read of the key, and makes it dirty once more.
	dirty := func() {
		t.Helper()
		reads := func(c status.CopiesStatus) int64 { return c.Done + c.Races }
		before := reads(w.Status().Copies)
		change := func() {
			w.do(c, "EVAL", "redis.call('SETRANGE', KEYS[1], 0, math.random())", "1", "large")
		}
		change()
		w.until("a read of the key", func(s status.Status) bool { return reads(s.Copies) > before })
		change()
		if w.Status().DirtyKeys == 0 {
			t.Error("the limit has held up nothing")
		}
	}
	limit := func(l backfill.Limits) {
		w.throttle.Set(l)
		w.until("all copies", func(s status.Status) bool { return s.DirtyKeys == 0 && s.UnsettledWrites == 0 })
	}
	limit(backfill.Limits{})
	limit(backfill.Limits{BytesPerS: 16 << 10})
	dirty()
	limit(backfill.Limits{})
	limit(backfill.Limits{BytesPerS: 16 << 10})
	dirty()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w.same(0)
}
