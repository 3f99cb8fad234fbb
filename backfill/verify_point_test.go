package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// A verify that is interrupted at any of its points goes on behind it: together they look at every key, compare few
// twice, and report each difference.
func TestAVerifyGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 400)
	run(t, w.first.Addr, 3, "SET third 1")
	w.sweep()
	run(t, w.second.Addr, 0, "SET str:3 damaged", "DEL str:5", "SET extra 1")
	run(t, w.second.Addr, 3, "SET third 2", "SET extra 1")
	o := VerifyOptions{Name: instance.ConnName("test", "verify", "1"), Workers: 1, ScanCount: 50, SaveEvery: time.Nanosecond, Log: w.copier.opt.Log}
	interrupted := errors.New("interrupted")
	found := map[string]int{}
	o.Report = func(d status.Difference) { found[fmt.Sprintf("%d %s %s", d.DB, d.Key, d.Kind)]++ }
	var compared int64
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancelCause(context.Background())
		var saved *VerifyPoint
		o.Save = func(p VerifyPoint) {
			// As it comes from disk.
			data, err := json.Marshal(p)
			if err == nil {
				saved = new(VerifyPoint)
				err = json.Unmarshal(data, saved)
			}
			cancel(errors.Join(interrupted, err))
		}
		v := NewVerify(w.l, w.primary, w.secondary, o)
		switch err := v.Run(ctx); {
		case err == nil:
			done = true
			if p := v.Progress(); p.Different != 5 || p.DifferentValues != 2 {
				t.Errorf("at the end: %+v", p)
			}
			compared = v.Progress().Compared
		case !errors.Is(err, interrupted):
			t.Fatal(err)
		}
		cancel(nil)
		if !done {
			o.From = saved
		}
		if runs > 500 {
			t.Fatal("it does not get on")
		}
	}
	if runs < 20 {
		t.Errorf("it was interrupted %d times only", runs-1)
	}
	for _, id := range []string{"0 str:3 value", "0 str:5 missing", "0 extra extra", "3 third value", "3 extra extra"} {
		if found[id] == 0 {
			t.Errorf("%s was not found", id)
		}
		delete(found, id)
	}
	if len(found) > 0 {
		t.Errorf("found and not planted: %v", found)
	}
	// The walk through a database goes on at its cursor; a rehash may show some keys twice.
	if all := int64(2001); compared < all || compared > all+all/2 {
		t.Errorf("%d keys compared in %d runs, of %d", compared, runs, all)
	}
}

// Keys that had not settled at a point are compared again behind it.
func TestLateKeysComeWithThePoint(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 10)
	w.sweep()
	do(t, w.second.Addr, "SET", "str:3", "damaged")
	found, v := w.verify(VerifyOptions{From: &VerifyPoint{Part: 2, DB: 16, Compared: 50, Different: 0, Late: []LateKey{{DB: 0, Name: []byte("str:3")}}}})
	if len(found) != 1 || found["0 str:3"].Kind != kindValue || v.Progress().Compared != 50 {
		t.Errorf("found %v, %+v", found, v.Progress())
	}
}

// A cursor of another server process means nothing: the walk through that database begins anew, and so nothing is
// left out.
func TestAPointOfAnotherProcessIsNotBelieved(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 50)
	w.sweep()
	do(t, w.second.Addr, "SET", "str:3", "damaged")
	found, v := w.verify(VerifyOptions{From: &VerifyPoint{Part: 1, DB: 0, RunID: "of another", Cursor: "7"}})
	if len(found) != 1 || v.Progress().Compared != 250 {
		t.Errorf("found %v, %+v", found, v.Progress())
	}
}

func TestAVerifyIsThrottledAndPaused(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	fillTraffic(t, w.first.Addr, 100) // 500 keys, which both sides have
	w.sweep()
	start := time.Now()
	w.verify(VerifyOptions{KeysPerS: 1000})
	// 1,000 keys at 1,000 per second, of which a quarter of a second's are free.
	if took := time.Since(start); took < 700*time.Millisecond {
		t.Errorf("it took %v", took)
	}

	v := NewVerify(w.l, w.primary, w.secondary, VerifyOptions{Name: instance.ConnName("test", "verify", "2"), Log: w.copier.opt.Log})
	v.Pause()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	go func() { ended <- v.Run(ctx) }()
	for v.Progress().State != status.Paused || v.Progress().Total == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it ended while paused: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if p := v.Progress(); p.Compared != 0 {
		t.Errorf("compared while paused: %+v", p)
	}
	v.Resume()
	if err := <-ended; err != nil || v.Progress().Compared != 500 {
		t.Errorf("%v, %+v", err, v.Progress())
	}
}

// A sample finds differing values at about the rate at which it looks, and what it says of the whole is right.
func TestASampleSaysHowSureItIs(t *testing.T) {
	w := newWorld(t, redisd.Options{}, redisd.Options{}, CopierOptions{}, nil)
	const keys = 4000
	c := dial(t, w.first.Addr)
	defer c.Close()
	for i := range keys {
		c.Do("SET", fmt.Sprint("k", i), "v")
	}
	w.sweep()
	d := dial(t, w.second.Addr)
	defer d.Close()
	const damaged = keys / 10
	for i := range damaged {
		d.Do("SET", fmt.Sprint("k", 10*i), "damaged")
	}
	held, all := 0, 0
	for range 20 {
		_, v := w.verify(VerifyOptions{Mode: Sample, SampleShare: 0.2})
		p := v.Progress()
		// 800 of 4,000 keys, 80 of 400 differing ones: 40 and 32 are five standard deviations and more.
		if p.Compared < 800-160 || p.Compared > 800+160 || p.DifferentValues < 80-48 || p.DifferentValues > 80+48 {
			t.Errorf("%d of %d keys compared, %d of %d found", p.Compared, keys, p.DifferentValues, damaged)
		}
		all++
		if AtMost(p.Compared, p.DifferentValues) >= 0.1 {
			held++
		}
	}
	if held < all-4 {
		t.Errorf("the bound held %d times of %d", held, all)
	}
}
