package backfill

import (
	"context"
	"testing"
	"time"

	"tandem/internal/ledger"
)

func emptyLedger() *ledger.Ledger {
	return ledger.New(ledger.Options{MaxDirty: 10, MaxExact: 10, Now: func() int64 { return time.Now().UnixNano() }})
}

func TestWaitersAreWokenByWhatTheyWaitFor(t *testing.T) {
	l := emptyLedger()
	ws := &waiters{l: l}
	a, b, calls := false, false, 0
	first, second := make(chan bool), make(chan bool)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		first <- ws.until(ctx, func() bool {
			if a {
				calls++
			}
			return a
		})
	}()
	go func() { second <- ws.until(ctx, func() bool { return b }) }()
	eventually(t, "both wait", func() bool {
		l.Lock()
		defer l.Unlock()
		return len(ws.list) == 2
	})
	l.Lock()
	a = true
	ws.wake()
	ws.wake()
	l.Unlock()
	if !<-first {
		t.Error("woken, but not told so")
	}
	if calls != 1 {
		t.Errorf("asked %d times after it had said yes", calls)
	}
	cancel()
	if <-second {
		t.Error("what never came true was said to be")
	}
	if ws.within(context.Background(), time.Millisecond, func() bool { return false }) {
		t.Error("the limit has passed, but it says yes")
	}
	// A change that nobody tells of is found too.
	go func() {
		l.Lock()
		defer l.Unlock()
		b = true
	}()
	if !ws.until(context.Background(), func() bool { return b }) {
		t.Error("not found")
	}
	if len(ws.list) != 0 {
		t.Errorf("%d waiters are left", len(ws.list))
	}
}

// A read larger than the window waits until nothing else is in it, and is not kept out by smaller ones that
// come later.
func TestWindowLetsABigReadPassAlone(t *testing.T) {
	l := emptyLedger()
	ws := &waiters{l: l}
	w := newWindow(l, ws, func() int64 { return 100 })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leave := func(n int64) {
		l.Lock()
		defer l.Unlock()
		w.leave(n)
	}
	if !w.enter(ctx, 60) || !w.enter(ctx, 40) {
		t.Fatal("what fits is not let in")
	}
	big, small := make(chan bool, 1), make(chan bool, 1)
	go func() { big <- w.enter(ctx, 1000) }()
	eventually(t, "the big one waits", func() bool {
		l.Lock()
		defer l.Unlock()
		return len(ws.list) == 1
	})
	go func() { small <- w.enter(ctx, 10) }()
	leave(60)
	select {
	case <-big:
		t.Fatal("the big one was let in among others")
	case <-small:
		t.Fatal("the small one has overtaken")
	default:
	}
	leave(40)
	if !<-big {
		t.Fatal("the big one is not let in")
	}
	select {
	case <-small:
		t.Fatal("the small one was let in beside the big one")
	default:
	}
	leave(1000)
	if !<-small {
		t.Fatal("the small one is not let in")
	}
	if !w.enter(ctx, 90) {
		t.Fatal("the rest is not let in")
	}
	go func() { big <- w.enter(ctx, 1) }()
	cancel()
	if <-big {
		t.Error("let in although there is no room")
	}
}

func TestPaceFindsTheSizeOfBatches(t *testing.T) {
	const mib = 1 << 20
	p := newPace(mib)
	read := func(bytesEach, largest int64, took time.Duration) int {
		n, _, _ := p.next(0)
		p.done(0, n, int64(n)*bytesEach, largest, took)
		n, _, _ = p.next(0)
		return n
	}
	if _, _, ask := p.next(1); !ask {
		t.Error("the sizes of a database's first keys are not asked")
	}
	p.done(1, minBatch, 100*minBatch, 100, time.Millisecond)
	p.n = minBatch
	for _, want := range []int{16, 32, 64, 128, 256, 512, 512} {
		if n := read(100, 100, time.Millisecond); n != want {
			t.Fatalf("%d keys after a quick batch of small ones, want %d", n, want)
		}
	}
	if n := read(100, 100, time.Millisecond+2*slowBatch); n != 256 {
		t.Errorf("%d keys after a slow batch, want 256", n)
	}
	for range 20 {
		read(30_000, 30_000, time.Millisecond)
	}
	if n, _, ask := p.next(0); n > mib/29_000 || n < minBatch || ask {
		t.Errorf("%d keys of 30 kB each, asking sizes: %v", n, ask)
	}
	if n := read(100, largeValue+1, time.Millisecond); n != minBatch {
		t.Errorf("%d keys after a large value, want %d", n, minBatch)
	}
	if _, _, ask := p.next(0); !ask {
		t.Error("sizes are not asked after a large value")
	}
	if _, _, ask := p.next(1); ask {
		t.Error("sizes are asked in another database")
	}
	for range askFor/minBatch + 1 {
		read(100, 100, time.Millisecond)
	}
	if _, _, ask := p.next(0); ask {
		t.Error("sizes are asked for ever")
	}
	if p.asked(0, largeValue); p.ask[0] > 0 {
		t.Error("a value that is not large is taken for one")
	}
	if p.asked(0, largeValue+1); p.ask[0] != askFor {
		t.Errorf("after a large value was asked for, sizes are asked for %d keys, want %d", p.ask[0], askFor)
	}
}
