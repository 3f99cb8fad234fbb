package ledger

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// discard is a Sink that keeps nothing, so that only the ledger's cost is seen.
type discard struct{}

func (discard) Append(*Write, *Effect) bool   { return true }
func (discard) AppendCopy(*Copy, *State) bool { return true }
func (discard) Granted(*Write)                {}
func discarding(o Options) (l *Ledger, id LaneID) {
	l = New(o)
	l.SetSink(discard{})
	return l, l.AddLane()
}

// load is what one lane does for a command: with some effects always on the way to the secondary.
type load struct {
	l    *Ledger
	lane LaneID
	w    Write
	e    Effect
	keys []Key
	i    int
	lag  int
}

func newLoad(keys int, sweeping bool, step Step) *load {
	l, lane := discarding(Options{
		Hasher: Hasher{1, 2}, MaxDirty: 1 << 20, MaxExact: 4 << 20, Now: func() int64 { return time.Now().UnixNano() },
	})
	x := &load{l: l, lane: lane}
	x.e.Steps = []Step{step}
	if sweeping {
		l.OweSweep("a benchmark", 0)
	}
	names := make([]byte, 0, 20*keys)
	for i := range keys {
		n := len(names)
		names = fmt.Appendf(names, "key:%012d", i)
		name := names[n:len(names):len(names)]
		x.keys = append(x.keys, Key{Hash: l.Hash(0, name), Name: name, Write: true})
		if sweeping {
			l.exact.add(x.keys[i].Hash)
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(keys, func(i, j int) { x.keys[i], x.keys[j] = x.keys[j], x.keys[i] })
	return x
}

// command is one write, from the session's submit to the secondary's acknowledgement of an earlier one.
func (x *load) command() {
	k := &x.keys[x.i]
	if x.i++; x.i == len(x.keys) {
		x.i = 0
	}
	x.w.Lane = x.lane
	x.w.Keys = append(x.w.Keys[:0], *k)
	x.l.Lock()
	if !x.l.Acquire(&x.w) {
		panic("it had to wait")
	}
	x.l.Unlock()
	x.l.Lock()
	if x.l.Reply(&x.w, &x.e) != Forwarded {
		panic("it was not forwarded")
	}
	if x.lag < 1000 {
		x.lag++
	} else {
		x.l.Acked(Good, "")
	}
	x.l.Unlock()
}

// TestSteadyStateAllocatesNothing: for an effect of one key, blind or on an exact key, sweeping or not.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, step := range []Step{{Blind: true}, {Blind: true, MayExpire: true}, {}} {
		for _, sweeping := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v, sweeping %v", step, sweeping), func(t *testing.T) {
				// Few enough that none is forgotten while sweeping.
				x := newLoad(5000, sweeping, step)
				for range 10_000 {
					x.command()
				}
				if n := testing.AllocsPerRun(20_000, x.command); n != 0 {
					t.Errorf("%v allocations for each command", n)
				}
			})
		}
	}
}

// BenchmarkCommand is the ledger's share of a write: Acquire, Reply and Acked, two locks, one look at the
// clock. With one key all is in the caches; with 2^20 random ones its stripe is not.
func BenchmarkCommand(b *testing.B) {
	for _, keys := range []int{1, 1 << 20} {
		for name, step := range map[string]Step{"blind": {Blind: true}, "exact": {}} {
			for _, sweeping := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/keys=%d/sweeping=%v", name, keys, sweeping), func(b *testing.B) {
					if sweeping && name == "exact" && keys > 1 {
						name = "blind" // some are forgotten, and would be dirty
						step.Blind = true
					}
					x := newLoad(keys, sweeping, step)
					b.ReportAllocs()
					began := processorTime()
					for b.Loop() {
						x.command()
					}
					b.ReportMetric(float64(processorTime()-began)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

// processorTime is what this process has used, in ns: on a shared machine the clock on the wall tells little.
func processorTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkHash is the part that needs no lock.
func BenchmarkHash(b *testing.B) {
	h, name := Hasher{1, 2}, []byte("key:000000123456")
	b.ReportAllocs()
	for b.Loop() {
		h.Sum(0, name)
	}
}

// BenchmarkCopy is the ledger's share of one copy of a sweep.
func BenchmarkCopy(b *testing.B) {
	x := newLoad(1<<20, true, Step{})
	x.l.OweSweep("again", 0)
	s := State{Payload: "a value"}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c := Copy{Key: x.keys[i&(1<<20-1)]}
		x.l.Known(c.Key.Hash)
		if !x.l.BeginCopy(&c) || x.l.EndCopy(&c, &s) != Won {
			b.Fatal("the copy was not won")
		}
		if i++; i > 1000 {
			x.l.Acked(Good, "")
		}
	}
}

// BenchmarkMakeDirty is what a write costs that is copied instead, with the copy.
func BenchmarkMakeDirty(b *testing.B) {
	x := newLoad(1<<20, false, Step{})
	now := time.Now()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		x.l.MakeDirty(&x.keys[i&(1<<20-1)])
		d, _ := x.l.NextDirty(now)
		c := Copy{Key: d.Key, Dirty: d}
		if !x.l.BeginCopy(&c) || x.l.EndCopy(&c, &State{}) != Won {
			b.Fatal("the copy was not won")
		}
		x.l.Done(d)
		if i++; i > 1000 {
			x.l.Acked(Good, "")
		}
	}
}

// BenchmarkOweSweep is declared with the lock held, whatever is known at that moment.
func BenchmarkOweSweep(b *testing.B) {
	l, _ := discarding(Options{MaxDirty: 1 << 20, MaxExact: 16 << 20, Now: func() int64 { return 0 }})
	for b.Loop() {
		l.OweSweep("a benchmark", 0)
		l.exact.add(Hash{1, 2})
	}
}

// BenchmarkRelease lets 10,000 sessions go after a hold.
func BenchmarkRelease(b *testing.B) {
	const sessions = 10_000
	l, lane := discarding(Options{MaxDirty: 1, MaxExact: 1, Now: func() int64 { return 0 }})
	ws := make([]Write, sessions)
	for i := range ws {
		ws[i] = Write{Lane: lane, Waiter: discard{}, Keys: []Key{{Hash: Hash{Lo: uint64(i), Hi: 1}, Write: true}}}
	}
	for b.Loop() {
		l.Hold()
		for i := range ws {
			l.Acquire(&ws[i])
		}
		l.Release(nil)
		for i := range ws {
			l.Reply(&ws[i], nil)
		}
	}
}
