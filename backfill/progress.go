package backfill

import (
	"math"
	"sync"
	"time"

	"tandem/internal/status"
)

// part of a sweep.
type part uint8

const (
	partOne part = iota // the primary's keys
	partTwo             // the secondary's keys
)

const (
	// partTwoCost is what looking at a key of the secondary costs, in keys of the first part.
	partTwoCost = 0.1
	// smoothing is the share of the newest measurement in the rates that are shown: half of what they show
	// is of the last second.
	smoothing = 0.16
	// farthest is the most time left that is told, in seconds.
	farthest = 365 * 24 * 3600.0
)

// progress measures a sweep. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	state string
	// keys are those of both sides as counted last, seen those that were scanned, by part.
	keys, seen [2]int64
	// staying is how many keys of the primary were found that do not move.
	staying int64
	// base is what the copier had counted when the sweep began, last at the last measurement.
	base, last CopierStats

	at       time.Time // of the last measurement
	work     float64   // done by then, in keys of the first part
	keysPerS float64
	workPerS float64
	measured bool
}

func (p *progress) begin(copier CopierStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = status.Running
	p.keys, p.seen = [2]int64{-1, -1}, [2]int64{}
	p.base, p.last = copier, copier
	p.at, p.work, p.keysPerS, p.workPerS, p.measured = time.Now(), 0, 0, 0, false
}

func (p *progress) end(state string, copier CopierStats) {
	p.measure(copier)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
}

// restart begins a pass anew.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.work = [2]int64{}, 0
}

// total takes the number of keys on both sides that move, and of those on the primary that do not, as far as they are known.
func (p *progress) total(primary, secondary, staying int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.staying = [2]int64{primary, secondary}, staying
}

// stay takes how many keys of the primary do not move, when all of it was walked through.
func (p *progress) stay(staying int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[partOne] = max(0, p.keys[partOne]-(staying-p.staying))
	p.staying = staying
}

func (p *progress) scanned(of part, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[of] += int64(n)
}

func (p *progress) seenOf(of part) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[of]
}

// doneLeft is the work that is done, and that is left, in keys of the first part. The lock is held.
func (p *progress) doneLeft() (done, left float64) {
	done = float64(p.seen[partOne]) + partTwoCost*float64(p.seen[partTwo])
	// The secondary has yet to get what the primary has.
	second := max(p.keys[partOne], p.keys[partTwo])
	left = math.Max(0, float64(p.keys[partOne]-p.seen[partOne])) +
		partTwoCost*math.Max(0, float64(second-p.seen[partTwo]))
	return done, left
}

// measure brings the rates up to date.
func (p *progress) measure(copier CopierStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	dt := now.Sub(p.at).Seconds()
	if dt < watchEvery.Seconds()/2 && p.measured {
		p.last = copier
		return
	}
	done, _ := p.doneLeft()
	keys, work := float64(copier.Copied-p.last.Copied)/dt, math.Max(0, done-p.work)/dt
	share := smoothing
	if !p.measured {
		share = 1
	}
	p.keysPerS += (keys - p.keysPerS) * share
	p.workPerS += (work - p.workPerS) * share
	p.at, p.last, p.work, p.measured = now, copier, done, true
}

// Progress is the state of the sweep that runs, or ran last.
func (s *Sweep) Progress() status.BackfillStatus {
	copier := s.c.Stats()
	p := &s.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	out := status.BackfillStatus{State: p.state}
	switch {
	case p.state == "":
		out.State = status.Idle
		return out
	case p.state != status.Running:
		copier = p.last // what the copier does since is not the sweep's
	case s.gate.closed(), s.c.throttle.gate.closed():
		out.State = status.Paused
	}
	out.KeysScanned, out.KeysStaying = p.seen[partOne], p.staying
	out.KeysCopied = int64(copier.Copied - p.base.Copied)
	out.BytesCopied = int64(copier.Bytes - p.base.Bytes)
	if p.measured {
		out.KeysPerS = status.Known(p.keysPerS)
	}
	if p.keys[partOne] < 0 {
		return out
	}
	out.KeysTotal = status.Known(max(p.keys[partOne], p.seen[partOne]))
	done, left := p.doneLeft()
	switch {
	case p.state == status.Done:
		out.Percent = status.Known(100.0)
		out.EtaS = status.Known[int64](0)
	default:
		// Never 100 before the ledger has ended it.
		out.Percent = status.Known(math.Min(99.9, 100*done/math.Max(1, done+left)))
		// A rate that has all but died away says nothing, and may be too small to divide by.
		if eta := left / p.workPerS; out.State == status.Running && p.workPerS > 0 && eta < farthest {
			out.EtaS = status.Known(int64(math.Ceil(eta)))
		}
	}
	return out
}
