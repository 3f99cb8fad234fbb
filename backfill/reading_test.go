package backfill

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// A batch takes what fits, and only measures the rest: a value that is too large, and those for which the
// batch has no room any more, the first alone being let in.
func TestReadDropsWhatIsBeyondItsLimits(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{Args: []string{"--rdbcompression", "no"}})
	for name, size := range map[string]int{"small": 100, "other": 100, "middle": 5000, "large": 200_000} {
		do(t, s.Addr, "SET", name, strings.Repeat(name, size/len(name)))
	}
	do(t, s.Addr, "SET", "expiring", "v", "PXAT", "4102444800000")
	do(t, s.Addr, "SELECT", "3")
	r := newReader(testInstance(t, instance.Source, s.URL()), "test", time.Second)
	defer r.close()
	names := []string{"small", "large", "middle", "other", "none", "expiring"}
	for _, c := range []struct {
		lim  limits
		want []found
	}{
		{noLimits, []found{present, present, present, present, missing, present}},
		{limits{value: 10_000, total: 1 << 20}, []found{present, dropped, present, present, missing, present}},
		{limits{value: 1 << 20, total: 1000}, []found{present, dropped, dropped, present, missing, present}},
		{limits{value: 1 << 20, total: 1}, []found{present, dropped, dropped, dropped, missing, dropped}},
		{limits{value: 1, total: 1 << 20}, []found{dropped, dropped, dropped, dropped, missing, dropped}},
	} {
		out := make([]reading, len(names))
		if err := r.read(context.Background(), 0, names, c.lim, out); err != nil {
			t.Fatal(err)
		}
		for i, o := range out {
			if o.found != c.want[i] {
				t.Errorf("%+v: %s is %d, want %d", c.lim, names[i], o.found, c.want[i])
			}
			if o.found == present && len(o.payload) != int(o.size) {
				t.Errorf("%s: size %d of %d bytes", names[i], o.size, len(o.payload))
			}
			if o.found == dropped && (o.payload != "" || names[i] == "large" && o.size < 190_000) {
				t.Errorf("%s: dropped, but %d bytes, size %d", names[i], len(o.payload), o.size)
			}
			if want := int64(4102444800000); names[i] == "expiring" && o.found == present && o.expireAt != want ||
				names[i] != "expiring" && o.expireAt != 0 {
				t.Errorf("%s: expires at %d", names[i], o.expireAt)
			}
		}
	}
	// The connections are whole after all that: the replies are those of what is asked.
	out := make([]reading, 1)
	for _, name := range names {
		if err := r.read(context.Background(), 0, []string{name}, noLimits, out); err != nil {
			t.Fatal(err)
		}
		if (out[0].found == missing) != (name == "none") || !strings.Contains(out[0].payload, name) && name != "none" && name != "expiring" {
			t.Errorf("%s: %d, %q", name, out[0].found, quote(out[0].payload))
		}
	}
	if err := r.read(context.Background(), 99, names[:1], noLimits, out); err == nil {
		t.Error("database 99 could be read")
	}
}

// A key that came into being between the two commands that read it has no known expiry.
func TestTornReadingIsNoState(t *testing.T) {
	o := reading{expireAt: ttlMissing}
	o.take(&intake{payload: "payload", size: 7})
	if _, r := stateOf(&o, 0); o.found != torn || r != lost {
		t.Errorf("found %d, result %d", o.found, r)
	}
	o = reading{expireAt: ttlNone}
	o.take(&intake{payload: "payload", size: 7})
	if s, r := stateOf(&o, 500); r != settled || s.ExpireAt != 0 || s.Payload != "payload" {
		t.Errorf("%+v, %d", s, r)
	}
	o = reading{expireAt: 1000}
	o.take(&intake{payload: "payload", size: 7})
	for shift, want := range map[int64]int64{0: 1000, 500: 1500, -2000: 1} {
		if s, _ := stateOf(&o, shift); s.ExpireAt != want {
			t.Errorf("shifted by %d it expires at %d, want %d", shift, s.ExpireAt, want)
		}
	}
}

// A server that stops answering costs a batch its time, and nothing for ever.
func TestReadOfAStalledServerEnds(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	do(t, s.Addr, "SET", "k", "v")
	r := newReader(testInstance(t, instance.Source, s.URL()), "test", 100*time.Millisecond)
	defer r.close()
	out := make([]reading, 1)
	read := func() error { return r.read(context.Background(), 0, []string{"k"}, limits{1 << 20, 1 << 20}, out) }
	eventually(t, "it answers", func() bool { return read() == nil })
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := read(); err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers again", func() bool { return read() == nil && out[0].found == present })
	r.close()
	if err := read(); !errors.Is(err, errClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestStreamIDsAfter(t *testing.T) {
	for id, want := range map[string]string{"1-1": "1-2", "0-0": "0-1", "5-18446744073709551615": "6-0"} {
		if got, err := after(id); got != want || err != nil {
			t.Errorf("after %s: %s, %v; want %s", id, got, err, want)
		}
	}
	for _, bad := range []string{"", "1", "-", "a-1", "1-b", "1-99999999999999999999"} {
		if got, err := after(bad); err == nil {
			t.Errorf("after %q: %s", bad, got)
		}
	}
}
