package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/status"
	"tandem/test/wire"
)

// What slows copies down slows a verify down: bytes per second, the governor, and the moments in which nothing is read. The
// number of keys that sweeps copy does not, and who holds a key still does not wait.
func TestAVerifyYieldsAsCopiesDo(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	conn, err := wire.Dial(w.first.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	noise := rand.NewChaCha8([32]byte{1})
	value := make([]byte, 10_000)
	const keys = 100
	for i := range keys {
		_, _ = noise.Read(value)
		if _, err := conn.Do("SET", fmt.Sprint("key:", i), string(value)); err != nil {
			t.Fatal(err)
		}
	}
	w.sweep()
	verified := func(throttle *Throttle) time.Duration {
		start := time.Now()
		if found, _ := w.verify(VerifyOptions{Throttle: throttle}); len(found) > 0 {
			t.Errorf("found %v", found)
		}
		return time.Since(start)
	}

	// 1 MB at 4 MB/s, of which a batch and 50 ms are free.
	if took := verified(NewThrottle(Limits{BytesPerS: 4_000_000, KeysPerS: 1})); took < 100*time.Millisecond || took > 50*time.Second {
		t.Errorf("with few bytes per second it took %v", took)
	}
	// 100 keys of each side at 500 per second; their bytes are fewer than would come meanwhile.
	governed := NewThrottle(Limits{})
	governed.governed.Store(500)
	governed.compared.set(500, rested)
	if took := verified(governed); took < 200*time.Millisecond || governed.ComparedKeys() != 2*keys {
		t.Errorf("governed it took %v for %d keys", took, governed.ComparedKeys())
	}

	calm := NewThrottle(Limits{BytesPerS: 1})
	calm.bytes.spend(1000)
	v := NewVerify(w.l, w.primary, w.secondary, VerifyOptions{Throttle: calm})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.turn(ended, 1); err == nil {
		t.Error("there is nothing left, and it went on")
	}
	calm.Set(Limits{})
	calm.quiet(true)
	if err := v.turn(ended, 1); err == nil {
		t.Error("nothing is to be read, and it went on")
	}
	if err := v.turn(context.WithValue(ended, holding{}, true), 1); err != nil {
		t.Error(err)
	}
}

// What is left for later is looked at as often as it takes, where one look takes longer than it may take to settle: a difference is
// one, and none that has not stood still.
func TestWhatIsLeftForLaterIsLookedAtEnough(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	do(t, w.first.Addr, "SET", "k", "value")
	w.sweep()
	do(t, w.second.Addr, "SET", "k", "damaged")
	var found []status.Difference
	o := VerifyOptions{Name: "test", Log: w.copier.opt.Log, SettleTimeout: 1, Report: func(d status.Difference) { found = append(found, d) }}
	v := NewVerify(w.l, w.primary, w.secondary, o)
	defer v.from.close()
	defer v.to.close()
	v.late = []*suspect{v.suspect(0, "k", 7)}
	if err := v.resolveLate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Kind != kindValue || strings.Contains(found[0].Detail, "stood still") {
		t.Errorf("found %+v", found)
	}
}

// How long something took that failed then is not counted as trouble.
func TestInsistingBeginsWithTheFirstFailure(t *testing.T) {
	const limit = 20 * time.Millisecond
	calls := 0
	err := insist(t.Context(), slog.New(slog.DiscardHandler), "it waits", limit, func() error {
		if calls++; calls == 1 {
			<-time.After(2 * limit) // for its turn
			return errors.New("a connection broke")
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
