package ledger

import (
	"testing"
	"time"
)

// recorder is a Sink that takes everything, or nothing.
type recorder struct {
	refuses bool
	effects int
	copies  int
	guard   []int // of the last effect
}

func (r *recorder) Append(_ *Write, e *Effect) bool {
	if r.refuses {
		return false
	}
	r.effects++
	r.guard = append(r.guard[:0], e.Guard...)
	return true
}

func (r *recorder) AppendCopy(*Copy, *State) bool {
	if r.refuses {
		return false
	}
	r.copies++
	return true
}

// fixture is a ledger with a recorder, in which a key's stripe is chosen.
type fixture struct {
	*Ledger
	t     *testing.T
	sink  *recorder
	clock time.Time
}

func newFixture(t *testing.T, change ...func(o *Options)) *fixture {
	f := &fixture{t: t, sink: &recorder{}, clock: time.Unix(1_700_000_000, 0)}
	o := Options{MaxDirty: 1000, MaxExact: 1000, Now: func() int64 { return f.clock.UnixNano() }}
	for _, c := range change {
		c(&o)
	}
	f.Ledger = newLedger(o, 64)
	f.SetSink(Secondary, f.sink)
	return f
}

// key makes a key whose first letter tells its stripe.
func key(name string) Key {
	h := Hash{Lo: uint64(name[0]-'a') & 63, Hi: 1}
	for i := range len(name) {
		h.Hi = h.Hi*31 + uint64(name[i])
	}
	h.Lo |= h.Hi << 20
	return Key{Hash: h, Name: []byte(name), Write: true}
}

// waiter counts how often its write was granted.
type waiter struct{ granted int }

func (w *waiter) Granted(*Write) { w.granted++ }

// write makes a write of the named keys; those with a ? are only read.
func write(lane LaneID, names ...string) (*Write, *waiter) {
	g := &waiter{}
	w := &Write{Lane: lane, Waiter: g}
	for _, n := range names {
		if n[0] == '?' {
			k := key(n[1:])
			k.Write = false
			w.Keys = append(w.Keys, k)
			continue
		}
		w.Keys = append(w.Keys, key(n))
	}
	return w, g
}

// sent acquires a write that must not have to wait.
func (f *fixture) sent(lane LaneID, names ...string) *Write {
	f.t.Helper()
	w, _ := write(lane, names...)
	if !f.Acquire(w) {
		f.t.Fatalf("a write of %v had to wait", names)
	}
	return w
}

// waits acquires a write that must have to wait.
func (f *fixture) waits(w *Write) {
	f.t.Helper()
	if f.Acquire(w) {
		f.t.Fatal("a write did not have to wait")
	}
}

func blind() *Effect    { return &Effect{Steps: []Step{{Blind: true}}} }
func notBlind() *Effect { return &Effect{Steps: []Step{{}}} }

// done sends a write, and settles it with e.
func (f *fixture) done(lane LaneID, e *Effect, names ...string) Outcome {
	f.t.Helper()
	return f.Reply(f.sent(lane, names...), e)
}

// copied copies a key, from the beginning of the read to the acknowledgement.
func (f *fixture) copied(name string) {
	f.t.Helper()
	c := Copy{Key: key(name)}
	if !f.BeginCopy(&c) || f.EndCopy(&c, &State{}) != Won {
		f.t.Fatalf("the copy of %s was not won", name)
	}
	f.Acked(Secondary, Good, "")
}
