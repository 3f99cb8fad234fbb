package backfill

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/redisd"
)

// A key that is written without pause is held still, and what differs in it is found; what is only on its
// way is not reported.
func TestVerifyOfAKeyThatIsWrittenAllTheTime(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 100)
	w.sweep()
	tr := startTraffic(w, 0, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var sessions sync.WaitGroup
	for i := range 8 {
		sessions.Go(func() {
			for ctx.Err() == nil {
				write(w.l, tr.lanes[i%2], command{"HINCRBY", "hash:1", "n", "1"})()
			}
		})
	}
	do(t, w.second.Addr, "HSET", "hash:1", "planted", "1")
	found, v := w.verify(VerifyOptions{})
	cancel()
	sessions.Wait()
	tr.halt()
	if d := found["0 hash:1"]; len(found) != 1 || d.Kind != kindValue || !strings.Contains(d.Detail, `"planted" is not on the source`) {
		t.Errorf("found: %v", found)
	}
	if v.holds.Load() == 0 {
		t.Error("the key was never held still")
	}
}

// A key whose copy keeps failing will not settle: it is reported with the reason.
func TestVerifyReportsAKeyWhoseCopyFails(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 10)
	w.sweep()
	do(t, w.second.Addr, "SET", "str:3", "damaged")
	do(t, w.second.Addr, "ACL", "SETUSER", "default", "-restore")
	key := []byte("str:3")
	w.l.Lock()
	w.l.MakeDirty(&ledger.Key{Hash: w.l.Hash(0, key), Name: key, Write: true})
	w.l.Unlock()
	found, _ := w.verify(VerifyOptions{})
	if d := found["0 str:3"]; len(found) != 1 || d.Kind != kindValue || !strings.Contains(d.Detail, "its copy keeps failing: -NOPERM") {
		t.Errorf("found: %v", found)
	}
}

// A write that is never answered keeps its key unsettled: it is reported in the end, but only if it differs.
func TestVerifyReportsWhatNeverSettles(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 10)
	w.sweep()
	do(t, w.second.Addr, "SET", "str:3", "damaged")
	key := []byte("str:3")
	stuck := &ledger.Write{Keys: []ledger.Key{{Hash: w.l.Hash(0, key), Name: key, Write: true}}}
	w.l.Lock()
	stuck.Lane = w.l.AddLane(ledger.Primary)
	if !w.l.Acquire(stuck) {
		t.Error("somebody else writes")
	}
	w.l.Unlock()
	o := VerifyOptions{SettleTimeout: 50 * time.Millisecond, HoldTimeout: 20 * time.Millisecond}
	found, _ := w.verify(o)
	if d := found["0 str:3"]; len(found) != 1 || d.Kind != kindValue || !strings.Contains(d.Detail, "not stood still") {
		t.Errorf("found: %v", found)
	}
	do(t, w.second.Addr, "SET", "str:3", "value of 3")
	if found, _ := w.verify(o); len(found) > 0 {
		t.Errorf("reported although it is equal: %v", found)
	}
	w.l.Lock()
	w.l.Unanswered(stuck)
	w.l.Unlock()
}

// Keys that expire while they are compared are no differences.
func TestVerifyWhileKeysExpire(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	c := dial(t, w.first.Addr)
	defer c.Close()
	var cmds [][]string
	for i := range 5000 {
		cmds = append(cmds, []string{"SET", "k" + strconv.Itoa(i), "v", "PX", strconv.Itoa(1000 + i/2)})
	}
	if _, err := c.DoMany(cmds); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	for start := time.Now(); time.Since(start) < 3500*time.Millisecond; {
		if found, _ := w.verify(VerifyOptions{TTLTolerance: 20 * time.Millisecond}); len(found) > 0 {
			t.Fatalf("differences: %v", found)
		}
	}
}

func TestVerifyOfASample(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 1000)
	w.sweep()
	do(t, w.second.Addr, "DEL", "str:7")
	do(t, w.second.Addr, "SET", "str:1", "damaged")
	found, v := w.verify(VerifyOptions{Mode: Sample, SampleShare: 0.2})
	if n := v.Progress().Compared; n < 500 || n > 1500 {
		t.Errorf("compared %d of 5000 keys, want about 1000", n)
	}
	if found["0 str:7"].Kind != kindMissing {
		t.Errorf("a missing key is not found by a sample: %v", found)
	}
	if found, _ := w.verify(VerifyOptions{Mode: Sample, SampleShare: 1}); len(found) != 2 {
		t.Errorf("a sample of all finds %v", found)
	}
}
