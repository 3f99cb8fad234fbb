package ledger

import (
	"math"
	"testing"
	"time"
)

func TestEdgeSuspect(t *testing.T) {
	const ms = time.Millisecond
	for _, x := range []struct {
		name      string
		ttl       int64
		lag, skew time.Duration
		want      bool
	}{
		{"no time to live", -1, time.Hour, time.Hour, false},
		{"missing", -2, 0, 0, true},
		{"the last millisecond", 0, 0, 0, true},
		{"one more", 1, 0, 0, false},
		{"less than the lag", 9, 10 * ms, 0, true},
		{"the lag", 10, 10 * ms, 0, true},
		{"more than the lag", 11, 10 * ms, 0, false},
		{"lag and skew", 15, 10 * ms, 5 * ms, true},
		{"more than both", 16, 10 * ms, 5 * ms, false},
		{"part of a millisecond counts as one", 11, 10*ms + 1, 0, true},
		{"for ever, nearly", math.MaxInt64, time.Hour, time.Hour, false},
		{"where nanoseconds would overflow", math.MaxInt64/1_000_000 + 1, time.Hour, time.Hour, false},
		{"what no server answers", math.MinInt64, 0, 0, true},
	} {
		if got := EdgeSuspect(x.ttl, x.lag, x.skew); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

// What a transaction itself has written does not depend on the expiry of what was there before.
func TestWhatAnEffectHasMadeNeedsNoGuard(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 10, Now: func() int64 { return 0 }})
	l.AssumeExpiring()
	lane := l.AddLane(Primary)
	sink := &guards{}
	l.SetSink(Secondary, sink)
	key := func(name string) Key { return Key{Hash: l.Hash(0, []byte(name)), Name: []byte(name), Write: true} }
	w := &Write{Lane: lane, Keys: []Key{key("a"), key("b")}}
	if !l.Acquire(w) {
		t.Fatal("not granted")
	}
	// SET a, APPEND a, APPEND b
	l.Lock()
	defer l.Unlock()
	if out := l.Reply(w, &Effect{Steps: []Step{{Blind: true, Keys: []int{0}}, {Keys: []int{0}}, {Keys: []int{1}}}}); out != Forwarded {
		t.Fatal(out)
	}
	if len(sink.guard) != 1 || sink.guard[0] != 1 {
		t.Errorf("guarded are %v, want b alone", sink.guard)
	}
}

type guards struct{ guard []int }

func (g *guards) Append(_ *Write, e *Effect) bool {
	g.guard = append([]int(nil), e.Guard...)
	return true
}

func (g *guards) AppendCopy(*Copy, *State) bool { return true }

// Where keys live longer on the secondary, no look at what is left of a key tells whether the primary still has it.
func TestWhatMayLiveLongerIsCopied(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 10, Extends: true, Now: func() int64 { return 0 }})
	lane := l.AddLane(Primary)
	l.SetSink(Secondary, &guards{})
	reply := func(name string, s Step) Outcome {
		t.Helper()
		l.Lock()
		defer l.Unlock()
		w := &Write{Lane: lane, Keys: []Key{{Hash: l.Hash(0, []byte(name)), Name: []byte(name), Write: true}}}
		if !l.Acquire(w) {
			t.Fatal("not granted")
		}
		return l.Reply(w, &Effect{Steps: []Step{s}})
	}
	if out := reply("a", Step{}); out != Forwarded {
		t.Errorf("of a key that never expires: %v", out)
	}
	if out := reply("a", Step{Blind: true, MayExpire: true}); out != Forwarded {
		t.Errorf("of a key that gets an expiry: %v", out)
	}
	if out := reply("a", Step{}); out != Dirtied {
		t.Errorf("of a key that may expire: %v", out)
	}
	if out := reply("a", Step{Blind: true}); out != Forwarded {
		t.Errorf("of a key that is written anew: %v", out)
	}
}
