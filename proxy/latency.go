package proxy

import (
	"math/bits"
	"time"

	"tandem/internal/instance"
)

const (
	// latencyUnit is the resolution: what is faster than 2^latencyUnit ns, about a microsecond, counts as that.
	latencyUnit = 10
	// latencySteps is how many steps there are from one power of two to the next: a quantile is at most an eighth too high.
	latencySteps = 8
	// latencyPowers of two, from a microsecond on: the last is more than an hour.
	latencyPowers = 32
)

// Latencies counts how long something took, by steps that grow with it. The zero value has counted nothing.
type Latencies [latencyPowers * latencySteps]uint64

// add counts one that took so many nanoseconds. It is called for each command, with the shard's lock held.
func (l *Latencies) add(ns int64) {
	units := uint64(max(ns, 0)) >> latencyUnit
	power := bits.Len64(units)
	step := int(units) & (latencySteps - 1)
	if power > 3 {
		step = int(units>>(power-4)) & (latencySteps - 1)
		power -= 3
	} else {
		power = 0
	}
	l[min(power*latencySteps+step, len(l)-1)]++
}

// above is what the latencies of a step are below.
func above(step int) time.Duration {
	power, rest := step/latencySteps, uint64(step%latencySteps)
	if power == 0 {
		return time.Duration((rest + 1) << latencyUnit)
	}
	return time.Duration((latencySteps + rest + 1) << (power - 1 + latencyUnit))
}

// Since is what was counted since before, which is an earlier copy.
func (l *Latencies) Since(before *Latencies) *Latencies {
	var d Latencies
	for i := range l {
		d[i] = l[i] - before[i]
	}
	return &d
}

// Add takes in what another has counted.
func (l *Latencies) Add(other *Latencies) {
	for i := range l {
		l[i] += other[i]
	}
}

// Count is how many were counted.
func (l *Latencies) Count() (n uint64) {
	for _, in := range l {
		n += in
	}
	return n
}

// Quantile is the time that a share q (0 to 1) of those counted did not exceed; 0 if there are none.
func (l *Latencies) Quantile(q float64) time.Duration {
	n := l.Count()
	if n == 0 {
		return 0
	}
	rank, below := uint64(q*float64(n-1)), uint64(0)
	for i, in := range l {
		if below += in; below > rank {
			return above(i)
		}
	}
	return above(len(l) - 1)
}

// A Timing counts how long something took, and sums it up. The zero value has counted nothing.
type Timing struct {
	Latencies
	Sum time.Duration
}

// add counts one. It is called for each command, with the shard's lock held.
func (t *Timing) add(ns int64) {
	t.Latencies.add(ns)
	t.Sum += time.Duration(max(ns, 0))
}

// Buckets calls f with each power of two of times, from least to most, that is at least least and at most most, and with
// how many were below it.
func (l *Latencies) Buckets(least, most time.Duration, f func(below time.Duration, n uint64)) {
	n := uint64(0)
	for i, in := range l {
		n += in
		if below := above(i); i%latencySteps == latencySteps-1 && below >= least && below <= most {
			f(below, n)
		}
	}
}

// Each calls f with each step that has counted something: what took at least from and less than below.
func (l *Latencies) Each(f func(from, below time.Duration, n uint64)) {
	from := time.Duration(0)
	for i, in := range l {
		below := above(i)
		if in > 0 {
			f(from, below, in)
		}
		from = below
	}
}

// Timings are how long one instance has taken, since the start.
type Timings struct {
	// Commands are those of clients that it has answered, without such as block, by their kind: from when they are put on
	// their way until the answer is there.
	Commands [commandKinds]Timing
	// Effects are those that it was sent as the secondary: from when they are handed to its lane until it has acknowledged them.
	Effects Timing
}

// Plus takes in what another shard has counted.
func (t *Timings) Plus(o *Timings) {
	for kind := range t.Commands {
		t.Commands[kind].plus(&o.Commands[kind])
	}
	t.Effects.plus(&o.Effects)
}

func (t *Timing) plus(o *Timing) {
	t.Latencies.Add(&o.Latencies)
	t.Sum += o.Sum
}

// timingsOf is where the times of an instance are counted.
func (sh *Shard) timingsOf(i *instance.Instance) *Timings {
	if i.Role == instance.Target {
		return &sh.timings[1]
	}
	return &sh.timings[0]
}

// Timings returns how long each instance has taken.
func (sh *Shard) Timings() (source, target Timings) {
	sh.lock()
	defer sh.unlock()
	return sh.timings[0], sh.timings[1]
}

// Latencies is Timings, with commands of all kinds and effects as one.
func (sh *Shard) Latencies() (source, target Latencies) {
	of := func(t Timings) (all Latencies) {
		all = t.Effects.Latencies
		for k := range t.Commands {
			for i, in := range t.Commands[k].Latencies {
				all[i] += in
			}
		}
		return all
	}
	s, t := sh.Timings()
	return of(s), of(t)
}
