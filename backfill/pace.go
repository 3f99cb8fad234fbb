package backfill

import (
	"sync"
	"time"
)

const (
	// minBatch and maxBatch are how many keys go in one round trip. Servers execute a block in pieces of
	// 16 KiB, so a larger one does not hold up their clients for longer; it would only gain little.
	minBatch = 8
	maxBatch = 512
	// largeValue is the size from which a value is worth asking for its size first.
	largeValue = 64 << 10
	// askFor is for how many keys of a database sizes are asked after the last large one. It costs a third
	// more of the server's time per key.
	askFor = 16384
	// slowBatch is how much longer than the fastest a batch may take before it is made smaller.
	slowBatch = 30 * time.Millisecond
)

// pace finds out how many keys to read at once: few at first, more as long as the values are small and the
// server answers quickly. It is safe for concurrent use.
type pace struct {
	// bytes is what the payloads of a batch whose sizes are not known may add up to.
	bytes func() int64
	// most is how many keys, and bytes of values, should go together at this moment.
	most func(fastest time.Duration) (keys int, bytes int64)

	mu      sync.Mutex
	n       int
	mean    float64 // bytes of a key's payload, of late
	fastest time.Duration
	// ask is, by database, for how many keys sizes are asked yet: at first for some, so that the first batch is not one of
	// values that are read for nothing.
	ask map[int]int
}

func newPace(bytes int64) *pace {
	return &pace{
		bytes: func() int64 { return bytes },
		most:  func(time.Duration) (int, int64) { return maxBatch, bytes },
		n:     minBatch, ask: map[int]int{},
	}
}

// throttledPace is one whose batches are bounded by a throttle.
func throttledPace(t *Throttle) *pace {
	return &pace{bytes: t.batchBytes, most: t.batch, n: minBatch, ask: map[int]int{}}
}

// next says how many keys of a database to read next, how many bytes each is likely to have, and whether
// their sizes are to be asked before.
func (p *pace) next(db int) (n int, mean int64, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys, bytes := p.most(p.fastest)
	if _, known := p.ask[db]; !known {
		p.ask[db] = minBatch
	}
	n, ask = min(p.n, keys), p.ask[db] > 0
	if !ask { // else as many go together as their sizes allow
		n = min(n, max(1, int(float64(bytes)/(p.mean+1))))
	}
	return n, int64(p.mean) + 64, ask
}

// together is how many bytes of values whose sizes are known should be read in one round trip.
func (p *pace) together() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, bytes := p.most(p.fastest)
	return bytes
}

// done says how a batch went: its keys, the bytes of their payloads, the largest of them (dropped ones
// included), and how long it took.
func (p *pace) done(db, keys int, bytes, largest int64, took time.Duration) {
	if keys == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mean += (float64(bytes)/float64(keys) - p.mean) / 4
	if p.fastest == 0 || took < p.fastest {
		p.fastest = took
	} else {
		p.fastest += (took - p.fastest) / 256 // follows a route that has become longer
	}
	switch {
	case largest > largeValue:
		p.large(db)
		return
	case took > p.fastest+slowBatch:
		p.n /= 2
	case keys >= p.n:
		p.n *= 2
	}
	if p.ask[db] > 0 {
		p.ask[db] -= keys
	}
	p.n = max(minBatch, min(p.n, maxBatch, int(float64(p.bytes())/(p.mean+1))))
}

// asked says what the largest is of values whose sizes were asked.
func (p *pace) asked(db int, largest int64) {
	if largest <= largeValue {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.large(db)
}

// large takes note of a large value in a database.
func (p *pace) large(db int) {
	p.ask[db] = askFor
	p.n = minBatch
}

// failed says that a batch was not answered, perhaps because it was too much.
func (p *pace) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = max(minBatch, p.n/2)
}

// limits of a batch whose sizes are not known.
func (p *pace) limits() limits { return limits{value: p.bytes(), total: 2 * p.bytes()} }
