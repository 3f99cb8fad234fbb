package ledger

import (
	"fmt"
	"math/rand/v2"
	"sync"
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
	l.SetSink(Secondary, discard{})
	return l, l.AddLane(Primary)
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

// commandOf is command for a write of the next so many keys.
func (x *load) commandOf(keys int) {
	if x.i+keys > len(x.keys) {
		x.i = 0
	}
	x.w.Lane = x.lane
	x.w.Keys = append(x.w.Keys[:0], x.keys[x.i:x.i+keys]...)
	x.i += keys
	x.send()
}

// command is one write of one key, from the session's submit to the secondary's acknowledgement of an earlier one.
func (x *load) command() {
	k := &x.keys[x.i]
	if x.i++; x.i == len(x.keys) {
		x.i = 0
	}
	x.w.Lane = x.lane
	x.w.Keys = append(x.w.Keys[:0], *k)
	x.send()
}

func (x *load) send() {
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
		x.l.Acked(Secondary, Good, "")
	}
	x.l.Unlock()
}

// TestSteadyStateAllocatesNothing: for an effect of one key or ten, blind or on an exact key, sweeping or not.
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
				for range 3000 {
					x.commandOf(10)
				}
				if n := testing.AllocsPerRun(2000, func() { x.commandOf(10) }); n != 0 {
					t.Errorf("%v allocations for each command of ten keys", n)
				}
			})
		}
	}
}

// BenchmarkCommand is the ledger's share of a write: Acquire, Reply and Acked, two locks, one look at the
// clock. With one key all is in the caches; with 2^20 random ones its stripe is not.
func BenchmarkCommand(b *testing.B) {
	for _, keys := range []int{1, 1 << 20} {
		for _, name := range []string{"blind", "exact"} {
			step := Step{Blind: name == "blind"}
			for _, sweeping := range []bool{false, true} {
				if sweeping && name == "exact" && keys > 1 {
					continue // some are forgotten, and would be dirty
				}
				b.Run(fmt.Sprintf("effect=%s/keyspace=%d/sweeping=%v", name, keys, sweeping), func(b *testing.B) {
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

// BenchmarkKeys is the same for a write of several keys, of which the lock is taken as often as of one.
func BenchmarkKeys(b *testing.B) {
	for _, keys := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("effect=blind/keyspace=%d/keys=%d", 1<<20, keys), func(b *testing.B) {
			x := newLoad(1<<20, false, Step{Blind: true})
			b.ReportAllocs()
			for b.Loop() {
				x.commandOf(keys)
			}
		})
	}
}

// BenchmarkContended has two lanes' goroutines at one ledger, as two of the primary's have: each with keys of its own.
func BenchmarkContended(b *testing.B) {
	for _, goroutines := range []int{1, 2} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			first := newLoad(1<<16, false, Step{Blind: true})
			loads := []*load{first}
			for len(loads) < goroutines {
				half := len(first.keys) / 2
				loads = append(loads, &load{l: first.l, lane: first.l.AddLane(Primary), e: Effect{Steps: first.e.Steps}, keys: first.keys[half:]})
				first.keys = first.keys[:half:half]
			}
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for _, x := range loads {
				all.Go(func() {
					for range b.N / goroutines {
						x.command()
					}
				})
			}
			all.Wait()
		})
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
			x.l.Acked(Secondary, Good, "")
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
		d, _ := x.l.NextDirty(Primary, now)
		c := Copy{Key: d.Key, Dirty: d}
		if !x.l.BeginCopy(&c) || x.l.EndCopy(&c, &State{}) != Won {
			b.Fatal("the copy was not won")
		}
		x.l.Done(d)
		if i++; i > 1000 {
			x.l.Acked(Secondary, Good, "")
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
