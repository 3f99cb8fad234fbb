package ledger

import (
	"testing"
	"time"

	"tandem/internal/intent"
	"tandem/internal/kept"
)

// keptWrite is a write that waits.
type keptWrite struct {
	Write
	granted bool
}

func (w *keptWrite) Granted(*Write) { w.granted = true }

// The first write to a kept key waits until it has left the list on disk, and so does the key's copy; later ones, and
// those of other keys, wait for nothing.
func TestTheFirstWriteToAKeptKeyWaitsForTheDisk(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 64, Now: func() int64 { return 1 }})
	key := func(name string) Key {
		return Key{Hash: l.Hash(0, []byte(name)), Name: []byte(name), Write: true}
	}
	a, b, other := key("a"), key("b"), key("other")
	list := kept.NewMemory(kept.Entry{Hash: kept.Hash(a.Hash), Kind: kept.Kept}, kept.Entry{Hash: kept.Hash(b.Hash), Kind: kept.Kept})
	wanted := 0
	l.SetKept(list, false, func() { wanted++ })
	lane := l.AddLane(Primary)
	write := func(keys ...Key) *keptWrite {
		w := &keptWrite{Write: Write{Lane: lane, Keys: keys}}
		w.Waiter = w
		w.granted = l.Acquire(&w.Write)
		return w
	}
	if l.Settled() || l.isExact(a.Hash) || !l.Known(a.Hash) || l.Kept() != 2 {
		t.Errorf("settled %v, exact %v, known %v, %d kept", l.Settled(), l.isExact(a.Hash), l.Known(a.Hash), l.Kept())
	}
	if w := write(other); !w.granted || wanted != 0 {
		t.Errorf("another key's write: granted %v, the disk was wanted %d times", w.granted, wanted)
	}
	reading := b
	reading.Write = false
	if w := write(other, reading); !w.granted || !l.IsKept(b.Hash) {
		t.Errorf("a write that only reads a kept key: granted %v, kept %v", w.granted, l.IsKept(b.Hash))
	}
	first, second := write(a), write(a)
	if first.granted || second.granted || wanted != 1 || l.IsKept(a.Hash) || !l.IsDirty(a.Hash) {
		t.Errorf("granted %v and %v, wanted %d times, kept %v, dirty %v", first.granted, second.granted, wanted, l.IsKept(a.Hash), l.IsDirty(a.Hash))
	}
	if d, _ := l.NextDirty(Primary, time.Unix(1, 0)); d != nil {
		t.Errorf("%q is given to the copier", d.Key.Name)
	}
	asked := l.KeptAsked()
	third := write(b)
	l.KeptSynced(asked)
	if !first.granted || !second.granted || third.granted {
		t.Errorf("granted %v, %v and, for what has left later, %v", first.granted, second.granted, third.granted)
	}
	if d, _ := l.NextDirty(Primary, time.Unix(1, 0)); d == nil || string(d.Key.Name) != "a" {
		t.Errorf("the copier is given %v", d)
	}
	l.Cancel(&third.Write)
	fourth := write(b)
	if fourth.granted {
		t.Error("a write goes that another had to wait for, for that one was given up")
	}
	l.KeptSynced(l.KeptAsked())
	if w := write(a, b); !fourth.granted || !w.granted || l.Kept() != 0 {
		t.Errorf("granted %v and %v, %d kept", fourth.granted, w.granted, l.Kept())
	}
}

// A kept key that has come to the primary past what the ledger saw is copied once it has left the list on disk, and not
// before: kept again after a loss of power, it would keep what the copy brought.
func TestACopyEndsAKeyThatIsKeptWhenThatIsOnDisk(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 64, Now: func() int64 { return 1 }})
	l.SetSink(Secondary, &recorder{})
	key := Key{Hash: l.Hash(0, []byte("a")), Name: []byte("a"), Write: true}
	list := kept.NewMemory(kept.Entry{Hash: kept.Hash(key.Hash), Kind: kept.Alone})
	l.SetKept(list, false, func() {})
	found := Copy{Key: key}
	if !l.BeginCopy(&found) {
		t.Fatal("a copy cannot begin, and nothing is in flight")
	}
	if r := l.EndCopy(&found, &State{Payload: "x"}); r != Lost || l.IsKept(key.Hash) || !l.IsDirty(key.Hash) {
		t.Fatalf("result %d, kept %v, dirty %v", r, l.IsKept(key.Hash), l.IsDirty(key.Hash))
	}
	if d, _ := l.NextDirty(Primary, time.Unix(1, 0)); d != nil {
		t.Fatal("it is given to the copier before it is on disk")
	}
	l.KeptSynced(l.KeptAsked())
	d, _ := l.NextDirty(Primary, time.Unix(1, 0))
	if d == nil {
		t.Fatal("it is not given to the copier")
	}
	again := Copy{Key: d.Key, Dirty: d}
	if !l.BeginCopy(&again) || l.EndCopy(&again, &State{Payload: "x"}) != Won || l.IsDirty(key.Hash) {
		t.Errorf("its copy did not come about, dirty %v", l.IsDirty(key.Hash))
	}
}

// A kept key that somebody else has written to is copied though what is dirty is forgotten before, for a sweep is owed,
// and though the process is killed; one that is not there stays kept, and so does one that nothing was reported of.
func TestAReportOfAKeptKeyIsNotForgotten(t *testing.T) {
	for _, c := range []struct {
		name   string
		dirty  int // MaxDirty
		killed bool
	}{{"forgotten", 10, false}, {"too many are dirty", 1, false}, {"killed", 10, true}, {"too many, and killed", 1, true}} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{MaxDirty: c.dirty, MaxExact: 64, Now: func() int64 { return 1 }, Intents: intent.NewMemory(64)}
			l := newLedger(o, 64)
			l.SetSink(Secondary, &recorder{})
			written, gone, untouched := key("a"), key("b"), key("c")
			var entries []kept.Entry
			for _, k := range []Key{written, gone, untouched} {
				entries = append(entries, kept.Entry{Hash: kept.Hash(k.Hash), Kind: kept.Kept})
			}
			list := kept.NewMemory(entries...)
			l.SetKept(list, false, func() {})
			l.SetForeign(false, true)
			lane := l.AddLane(Primary)
			for _, k := range []Key{written, gone} {
				if !l.Foreign(lane, []Key{k}) {
					t.Fatalf("a report of %s does not count", k.Name)
				}
			}
			if c.killed {
				o.Intents, list = o.Intents.Reopen(), list.Reopen()
				l = newLedger(o, 64)
				l.SetSink(Secondary, &recorder{})
				l.SetKept(list, false, func() {})
				l.Resume()
			} else {
				l.OweSweep("test", 0)
			}
			gen, _, owed := l.SweepOwed()
			if !owed || l.Known(written.Hash) || !l.Known(untouched.Hash) || l.Kept() != 3 {
				t.Fatalf("owed %v, known: written %v, untouched %v; %d kept", owed, l.Known(written.Hash), l.Known(untouched.Hash), l.Kept())
			}
			found := Copy{Key: written}
			if !l.BeginCopy(&found) || l.EndCopy(&found, &State{Payload: "x"}) != Lost || l.IsKept(written.Hash) {
				t.Fatal("it was found on the primary, and stays kept")
			}
			l.KeptSynced(l.KeptAsked())
			d, _ := l.NextDirty(Primary, time.Unix(1, 0))
			if d == nil {
				t.Fatal("it is not given to the copier")
			}
			again := Copy{Key: d.Key, Dirty: d}
			if !l.BeginCopy(&again) || l.EndCopy(&again, &State{Payload: "x"}) != Won {
				t.Fatal("its copy did not come about")
			}
			l.Done(d)
			l.Acked(Secondary, Good, "")
			if !l.Swept(gen) {
				t.Fatal("the sweep does not end")
			}
			l.OweSweep("another", 0)
			if !l.Known(gone.Hash) || !l.Known(untouched.Hash) || l.Known(written.Hash) {
				t.Error("the report is not settled by the sweep")
			}
		})
	}
}

// What becomes dirty while a sweep ends is in doubt still; what was found missing is not.
func TestAReportIsSettledByTheCopyThatIsOwedForIt(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 64, Now: func() int64 { return 1 }})
	l.SetSink(Secondary, &recorder{})
	a := Key{Hash: l.Hash(0, []byte("a")), Name: []byte("a"), Write: true}
	l.SetKept(kept.NewMemory(kept.Entry{Hash: kept.Hash(a.Hash), Kind: kept.Kept}), false, func() {})
	l.OweSweep("test", 0)
	gen, _, _ := l.SweepOwed()
	if !l.SweepSettled(gen) {
		t.Fatal("nothing is left of the sweep, and it has not settled")
	}
	l.MakeDirty(&a)
	if !l.Swept(gen) {
		t.Fatal("it does not end")
	}
	l.OweSweep("another", 0)
	if l.Known(a.Hash) {
		t.Error("a report of the time of a sweep's end is forgotten")
	}
	c := Copy{Key: a}
	if !l.BeginCopy(&c) || l.EndCopy(&c, &State{Missing: true}) != Won || !l.IsKept(a.Hash) || !l.Known(a.Hash) {
		t.Error("it is not there, and is not kept as before")
	}
	l.OweSweep("a third", 0)
	if !l.Known(a.Hash) {
		t.Error("its report is not settled")
	}
}

// A key that waits for the disk is nothing to do for the copier, until it is there; and is owed all the same.
func TestTheCopierIsNotAwakeForAKeyThatWaitsForTheDisk(t *testing.T) {
	l := New(Options{MaxDirty: 10, MaxExact: 64, Now: func() int64 { return 1 }})
	a := Key{Hash: l.Hash(0, []byte("a")), Name: []byte("a"), Write: true}
	l.SetKept(kept.NewMemory(kept.Entry{Hash: kept.Hash(a.Hash), Kind: kept.Kept}), false, func() {})
	w := &keptWrite{Write: Write{Lane: l.AddLane(Primary), Keys: []Key{a}}}
	w.Waiter = w
	if l.Acquire(&w.Write) {
		t.Fatal("a write does not wait for the disk")
	}
	if d, _ := l.NextDirty(Primary, time.Unix(1, 0)); d != nil || l.Queued() != 0 || l.DirtyKeys() != 1 || l.Drained() {
		t.Errorf("given %v, %d queued, %d dirty, drained %v", d, l.Queued(), l.DirtyKeys(), l.Drained())
	}
	l.Cancel(&w.Write)
	l.KeptSynced(l.KeptAsked())
	if d, _ := l.NextDirty(Primary, time.Unix(1, 0)); l.Queued() != 0 || d == nil {
		t.Errorf("given %v, %d queued", d, l.Queued())
	}
	if l.OweSweep("test", 0); l.kept.passed != nil || l.DirtyKeys() != 0 {
		t.Error("what is forgotten is not")
	}
}
