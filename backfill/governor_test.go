package backfill

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/latency"
	"tandem/internal/redisd"
)

// governed is a governor of a server that is played: its answers take longer the faster is copied, from a speed on.
type governed struct {
	t       *testing.T
	g       *Governor
	th      *Throttle
	r       *rand.Rand
	answers int // of clients in each look
	pings   int // where the server is asked
	noticed int // keys per second from which on clients notice
	// slow is what each answer takes besides.
	slow    time.Duration
	copied  uint64
	paused  int // looks in which nothing was read
	worse   int // answers that took longer than any does without copying
	counted int
}

func newGoverned(t *testing.T) *governed {
	th := NewThrottle(Limits{})
	return &governed{t: t, th: th, r: rand.New(rand.NewPCG(1, 2)), answers: 500, pings: 10, noticed: 80_000,
		g: NewGovernor(th, GovernorOptions{Rise: 0.1, Floor: 10_000})}
}

// look plays one look. Without copying answers take 100 to 200 µs, and every two hundredth up to a millisecond.
func (w *governed) look() {
	w.t.Helper()
	var answers, pings latency.Histogram
	speed := w.th.InForce().KeysPerS
	if w.th.calm.closed() {
		speed = 0
		w.paused++
	} else if speed == 0 {
		speed = 200_000
	}
	answer := func() int64 {
		took := 100*time.Microsecond + time.Duration(w.r.Int64N(int64(100*time.Microsecond)))
		switch {
		case w.r.IntN(200) == 0:
			took += time.Duration(w.r.Int64N(int64(time.Millisecond)))
		case speed > w.noticed && w.r.IntN(10) == 0:
			took += 2 * time.Millisecond
			w.worse++
		}
		w.counted++
		return int64(took + w.slow)
	}
	for range w.answers {
		answers.Add(answer())
	}
	if w.g.pinging.Load() {
		for range w.pings {
			pings.Add(answer())
		}
	}
	w.copied += uint64(float64(min(speed, 200_000)) * governEvery.Seconds())
	w.g.look(&answers, &pings, true, w.copied)
}

func (w *governed) looks(n int) {
	w.t.Helper()
	for range n {
		w.look()
	}
}

// until looks until a condition, and returns how many looks it took.
func (w *governed) until(what string, most int, so func(s GovernorState) bool) int {
	w.t.Helper()
	for n := range most {
		if so(w.g.State()) {
			return n
		}
		w.look()
	}
	w.t.Fatalf("%s: not in %d looks: %+v", what, most, w.g.State())
	return 0
}

func TestGovernorStaysBelowWhatClientsNotice(t *testing.T) {
	w := newGoverned(t)
	w.look()
	if !w.th.calm.closed() || w.th.InForce().KeysPerS != 10_000 {
		t.Errorf("at the beginning: calm %v, %+v", w.th.calm.closed(), w.th.InForce())
	}
	w.until("it gets faster", 100, func(s GovernorState) bool { return s.KeysPerS > 60_000 })
	w.until("it is too fast", 100, func(s GovernorState) bool { return s.Slowed > 0 })
	w.worse, w.counted, w.paused = 0, 0, 0
	began, sum := w.copied, 0
	const looks = 1200 // a minute
	for range looks {
		w.look()
		sum += w.g.State().KeysPerS
	}
	if share := float64(w.worse) / float64(w.counted); share > 0.01 {
		t.Errorf("%.1f %% of the answers were later than without copying", 100*share)
	}
	if speed := float64(w.copied-began) / (looks * governEvery.Seconds()); speed < 0.5*float64(w.noticed) || sum/looks < w.noticed/2 {
		t.Errorf("%.0f keys/s where clients notice %d", speed, w.noticed)
	}
	if w.paused < looks/20 || w.paused > looks/10 {
		t.Errorf("%d looks of %d were pauses", w.paused, looks)
	}
}

// Whatever makes the server slow, it is relieved at once, and copying is as fast as before soon after.
func TestGovernorYieldsToASlowServerAndRecovers(t *testing.T) {
	w := newGoverned(t)
	w.noticed = 1 << 30
	w.until("it is fast", 400, func(s GovernorState) bool { return s.KeysPerS > 100_000 })
	w.slow = 20 * time.Millisecond
	if n := w.until("the floor", 100, func(s GovernorState) bool { return s.KeysPerS == 10_000 }); n > 20 {
		t.Errorf("it took %d looks to yield", n)
	}
	for range 400 { // through several probes
		if w.look(); w.g.State().KeysPerS != 10_000 {
			t.Fatalf("it got faster while the server was slow: %+v", w.g.State())
		}
	}
	w.slow = 0
	w.until("it is fast again", 400, func(s GovernorState) bool { return s.KeysPerS > 100_000 })
}

// A server so slow that there is hardly an answer in a probe, neither to clients nor to PINGs, is relieved as well: few answers
// do not mean that nobody asks.
func TestGovernorYieldsToAServerThatHardlyAnswers(t *testing.T) {
	w := newGoverned(t)
	w.answers, w.noticed = 20, 1<<30
	w.until("it is fast", 2000, func(s GovernorState) bool { return s.KeysPerS > 100_000 })
	w.slow, w.answers, w.pings = 80*time.Millisecond, 2, 1
	w.until("the floor", 1000, func(s GovernorState) bool { return s.KeysPerS == 10_000 && s.Now > 80*time.Millisecond })
	for range 400 {
		if w.look(); w.g.State().KeysPerS != 10_000 {
			t.Fatalf("it got faster while the server hardly answered: %+v", w.g.State())
		}
	}
	w.slow, w.answers, w.pings = 0, 20, 10
	w.until("it is fast again", 2000, func(s GovernorState) bool { return s.KeysPerS > 100_000 })
}

// A server that stays slow is what is usual, after a minute or so.
func TestGovernorGetsUsedToASlowServer(t *testing.T) {
	w := newGoverned(t)
	w.noticed = 1 << 30
	w.looks(1000)
	w.slow = 5 * time.Millisecond
	w.until("the floor", 100, func(s GovernorState) bool { return s.KeysPerS == 10_000 })
	if n := w.until("it is fast again", 2000, func(s GovernorState) bool { return s.KeysPerS > 100_000 }); n < 400 {
		t.Errorf("%d looks were enough", n)
	}
}

// Where there are no clients the server is asked, until there are some, and again when they have gone.
func TestGovernorAsksWhereClientsDoNot(t *testing.T) {
	w := newGoverned(t)
	w.answers, w.noticed = 0, 1<<30
	w.until("it gets faster", 400, func(s GovernorState) bool { return s.KeysPerS > 30_000 })
	w.slow = 10 * time.Millisecond
	w.until("it yields", 100, func(s GovernorState) bool { return s.KeysPerS == 10_000 })
	w.slow, w.answers = 0, 500
	w.until("clients are listened to", 100, func(GovernorState) bool { return !w.g.pinging.Load() })
	w.until("it gets faster", 400, func(s GovernorState) bool { return s.KeysPerS > 30_000 })
	w.answers = 0
	w.until("the server is asked", 200, func(GovernorState) bool { return w.g.pinging.Load() && w.g.byPing })
}

// Below the floor only the user goes; and while nothing is copied nothing is limited.
func TestGovernorsFloorAndEnd(t *testing.T) {
	w := newGoverned(t)
	w.noticed = 0
	w.looks(300)
	if s := w.g.State(); s.KeysPerS != 10_000 || s.Usual < 200*time.Microsecond {
		t.Errorf("%+v", s)
	}
	if l := w.th.InForce(); l.KeysPerS != 10_000 || l.BytesPerS != 10_000*keyBytes {
		t.Errorf("%+v", l)
	}
	if keys, bytes := w.th.batch(100 * time.Microsecond); keys != governedKeys || bytes != governedBytes || w.th.scanCount(1000) != governedScan {
		t.Errorf("batches of %d keys and %d bytes, pages of %d", keys, bytes, w.th.scanCount(1000))
	}
	if keys, _ := w.th.batch(20 * time.Millisecond); keys < 100 {
		t.Errorf("from afar batches of %d keys", keys)
	}
	w.th.Set(Limits{KeysPerS: 500})
	if l := w.th.InForce(); l.KeysPerS != 500 {
		t.Errorf("with a limit of the user: %+v", l)
	}
	w.th.Set(Limits{})
	w.until("a probe", 200, func(GovernorState) bool { return w.th.calm.closed() })
	w.g.look(new(latency.Histogram), new(latency.Histogram), false, w.copied)
	if w.th.calm.closed() || w.th.InForce().KeysPerS != 0 || w.g.pinging.Load() || w.g.State().KeysPerS != 0 {
		t.Errorf("after the end: %+v, %+v", w.th.InForce(), w.g.State())
	}
	// Clients that are held wait for no probe.
	w.look()
	restore := w.th.Lift()
	if w.th.calm.closed() {
		t.Error("lifted, nothing is read")
	}
	restore()
}

// A sweep that is governed, with pauses and small batches, comes to the same end.
func TestAGovernedSweep(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fill(t, w.first.Addr, 2500)
	s := w.newSweep(SweepOptions{})
	var slow atomic.Int64
	g := NewGovernor(w.copier.throttle, GovernorOptions{Rise: 0.1, Floor: 2000,
		Answers: func(into *latency.Histogram) {
			for range 100 {
				into.Add(int64(time.Millisecond) + slow.Load())
			}
		},
		Ping:    func(context.Context) (time.Duration, error) { return time.Millisecond, nil },
		Copying: func() (bool, uint64) { return true, w.copier.Stats().Copied }, // the sweep may end before a busy machine has looked
	})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		g.Run(ctx)
	}()
	wait := w.sweeping(s)
	eventually(t, "it knows what is usual", func() bool { return g.State().Usual > 0 })
	slow.Store(int64(time.Second))
	eventually(t, "it is slow", func() bool { return g.State().KeysPerS == 2000 && g.State().Now > time.Second })
	if l := w.copier.throttle.InForce(); l.KeysPerS != 2000 {
		t.Errorf("%+v", l)
	}
	do(t, w.first.Addr, "SET", "late:"+strconv.Itoa(1), "1")
	slow.Store(0)
	wait()
	cancel()
	<-over
	if l := w.copier.throttle.InForce(); l.KeysPerS != 0 || w.copier.throttle.calm.closed() {
		t.Errorf("at the end: %+v", l)
	}
	w.settle()
}
