package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/journal"
	"tandem/internal/schedule"
	"tandem/internal/status"
)

// How fast is copied is configured, and may be changed while the process runs; a restart goes by the configuration. Both
// concern all sweeps and copies, of either direction: the throttle outlives the link that it slows down.

// windowsEvery is how often it is looked at least whether a window has begun or ended: the clock may have been set.
const windowsEvery = 10 * time.Second

// windows are the times of the day in which sweeps may run, under Migration.mu.
type windows struct {
	schedule schedule.Schedule
	ignored  bool      // by somebody's wish
	present  int       // -1: none
	until    time.Time // when that changes; zero: never
}

func limitsOf(b config.Backfill) backfill.Limits {
	return backfill.Limits{
		KeysPerS:      b.MaxKeysPerS,
		BytesPerS:     int64(b.MaxBytesPerS),
		InFlightBytes: int64(b.WindowBytes),
		Workers:       b.Workers,
	}
}

// openThrottle makes the throttle as it is configured. Nothing is copied yet.
func (m *Migration) openThrottle() (err error) {
	m.throttle = backfill.NewThrottle(limitsOf(m.cfg.Backfill))
	m.throttled = m.cfg.Backfill
	if m.windows.schedule, err = m.cfg.Backfill.Schedule(); err != nil {
		return err
	}
	m.applyWindows()
	return nil
}

func (m *Migration) clock() time.Time {
	if m.hooks.clock != nil {
		return m.hooks.clock()
	}
	return time.Now()
}

// followWindows opens and closes the throttle as the day goes by.
func (m *Migration) followWindows() {
	for {
		wait := cmp.Or(m.hooks.windowsEvery, windowsEvery)
		if until := m.applyWindows(); !until.IsZero() {
			wait = max(time.Millisecond, min(wait, until.Sub(m.clock())))
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// applyWindows lets sweeps run if they may now, and returns when that changes.
func (m *Migration) applyWindows() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &m.windows
	was := w.present
	w.present, w.until = w.schedule.At(m.clock())
	switch all := m.cfg.Backfill.Windows; {
	case w.ignored || len(all) == 0:
		m.throttle.Open(0, 0)
	case w.present < 0:
		m.throttle.Close()
	default:
		m.throttle.Open(all[w.present].MaxKeysPerS, int64(all[w.present].MaxBytesPerS))
	}
	if w.present != was && len(m.cfg.Backfill.Windows) > 0 {
		m.log.Info("windows of the backfill", "state", w.state(), "until", w.until)
	}
	return w.until
}

// state says whether sweeps may run.
func (w *windows) state() string {
	switch {
	case len(w.schedule.Windows) == 0:
		return status.NoWindows
	case w.ignored:
		return status.WindowsIgnored
	case w.present < 0:
		return status.WindowClosed
	}
	return status.WindowOpen
}

// closedUntil is when the next window begins, for who is in none; false: sweeps may run.
func (m *Migration) closedUntil() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.windows.until.In(m.windows.schedule.Zone), m.windows.state() == status.WindowClosed
}

// waitsForWindow says what a sweep waits for that no window lets run.
func waitsForWindow(until time.Time) string {
	when := "it waits for the next of backfill.windows"
	if !until.IsZero() {
		when = "it waits until " + until.Format("2006-01-02 15:04 MST") + " (backfill.windows)"
	}
	return when + "; to have it run now: tandem throttle --windows off"
}

// Throttle changes how fast is copied, until a restart, and returns what counts. (admin.Controller)
func (m *Migration) Throttle(_ context.Context, o admin.ThrottleOptions) (status.ThrottleStatus, error) {
	if o == (admin.ThrottleOptions{}) {
		return m.throttleStatus(), nil
	}
	m.mu.Lock()
	b := m.throttled
	if o.MaxKeysPerS != nil {
		b.MaxKeysPerS = *o.MaxKeysPerS
	}
	if o.MaxBytesPerS != nil {
		b.MaxBytesPerS = config.Bytes(*o.MaxBytesPerS)
	}
	if o.WindowBytes != nil {
		b.WindowBytes = config.Bytes(*o.WindowBytes)
	}
	if o.Workers != nil {
		b.Workers = *o.Workers
	}
	if err := b.Check(); err != nil {
		m.mu.Unlock()
		return status.ThrottleStatus{}, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	if o.Windows != nil && len(b.Windows) == 0 {
		m.mu.Unlock()
		return status.ThrottleStatus{}, fmt.Errorf("%w: %w", admin.ErrInvalid, errors.New("no windows are configured (backfill.windows)"))
	}
	if o.Governor != nil {
		b.Governor = "off"
		if *o.Governor {
			b.Governor = governorOn
		}
	}
	m.throttled = b
	if o.Windows != nil {
		m.windows.ignored = !*o.Windows
	}
	m.throttle.Set(limitsOf(b))
	m.mu.Unlock()
	m.setGoverning(b.Governor == governorOn)
	m.applyWindows()
	if l := m.linked.Load(); l != nil {
		l.setWorkers(b.Workers)
	}
	s := m.throttleStatus()
	m.log.Info("throttle changed, until a restart", "max_keys_per_s", b.MaxKeysPerS, "max_bytes_per_s", b.MaxBytesPerS.String(),
		"window_bytes", b.WindowBytes.String(), "workers", b.Workers, "windows", s.Window, "governor", b.Governor)
	m.record(journal.Event{Kind: journal.Step, Name: "throttle", State: journal.Done,
		Message: fmt.Sprintf("until a restart: max_keys_per_s %d, max_bytes_per_s %s, window_bytes %s, workers %d, windows %s, governor %s",
			b.MaxKeysPerS, b.MaxBytesPerS, b.WindowBytes, b.Workers, s.Window, b.Governor)})
	return s, nil
}

// setWorkers changes how many batches are copied at once.
func (l *link) setWorkers(n int) {
	l.copier.SetWorkers(n)
	if l.back != nil {
		l.back.copier.SetWorkers(n)
	}
	if s := l.sweep.Load(); s != nil {
		s.SetWorkers(n)
	}
}

// throttleStatus is what counts at this moment.
func (m *Migration) throttleStatus() status.ThrottleStatus {
	known := func(n int64) (o status.Optional[int64]) {
		if n > 0 {
			o = status.Known(n)
		}
		return o
	}
	in := m.throttle.InForce()
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &m.windows
	s := status.ThrottleStatus{
		KeysPerS:    known(int64(in.KeysPerS)),
		BytesPerS:   known(in.BytesPerS),
		WindowBytes: in.InFlightBytes,
		Workers:     int64(in.Workers),
		Changed:     limitsOf(m.throttled) != limitsOf(m.cfg.Backfill) || w.ignored || m.throttled.Governor != m.cfg.Backfill.Governor,
		Window:      w.state(),
		Governor:    status.GovernorOff,
	}
	m.describeGovernor(&s)
	if !w.until.IsZero() {
		s.WindowUntil = status.Known(w.until.UnixMilli())
	}
	return s
}
