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
	// bytes is what the payloads of a batch should add up to at most.
	bytes int64

	mu      sync.Mutex
	n       int
	mean    float64 // bytes of a key's payload, of late
	fastest time.Duration
	ask     map[int]int // by database: for how many keys sizes are asked yet
}

func newPace(bytes int64) *pace {
	return &pace{bytes: bytes, n: minBatch, ask: map[int]int{}}
}

// next says how many keys of a database to read next, how many bytes each is likely to have, and whether
// their sizes are to be asked before.
func (p *pace) next(db int) (n int, mean int64, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, int64(p.mean) + 64, p.ask[db] > 0
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
		p.ask[db] = askFor
		p.n = minBatch
		return
	case took > p.fastest+slowBatch:
		p.n /= 2
	case keys >= p.n:
		p.n *= 2
	}
	if p.ask[db] > 0 {
		p.ask[db] -= keys
	}
	p.n = max(minBatch, min(p.n, maxBatch, int(float64(p.bytes)/(p.mean+1))))
}

// failed says that a batch was not answered, perhaps because it was too much.
func (p *pace) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = max(minBatch, p.n/2)
}

// limits of a batch whose sizes are not known.
func (p *pace) limits() limits { return limits{value: p.bytes, total: 2 * p.bytes} }
