package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// linkFault is a kind of bad network.
type linkFault struct {
	name, toxic string // what the relay calls it
	unit        string // of what it hits: "bytes" that passed into it, or "connections" that ended by it
	// attributes are of the relay's making, by chance.
	attributes func(r *rand.Rand) string
	// longest is how long it lasts at most: a relay must never hold back what a peer does not read for 5 s.
	longest time.Duration
}

var linkFaults = []linkFault{
	{"latency", "latency", "bytes", func(r *rand.Rand) string { return fmt.Sprintf(`{"latency":%d,"jitter":0}`, 5+r.IntN(200)) }, 1500 * time.Millisecond},
	{"jitter", "latency", "bytes", func(r *rand.Rand) string {
		n := 5 + r.IntN(60)
		return fmt.Sprintf(`{"latency":%d,"jitter":%d}`, n, n)
	}, 1500 * time.Millisecond},
	{"reset", resetPeer, "connections", func(r *rand.Rand) string { return fmt.Sprintf(`{"timeout":%d}`, r.IntN(30)) }, 300 * time.Millisecond},
	{"black hole", blackHole, "bytes", func(*rand.Rand) string { return `{"timeout":0}` }, 2 * time.Second},
	{"slicing", "slicer", "bytes", func(r *rand.Rand) string {
		return fmt.Sprintf(`{"average_size":%d,"size_variation":%d,"delay":%d}`, 2+r.IntN(40), 1, r.IntN(300))
	}, time.Second},
	// 10 to 210 KB/s. The relay's own limit of the rate can lose what it is about to pass on when it ends.
	{"bandwidth", "slicer", "bytes", func(r *rand.Rand) string {
		return fmt.Sprintf(`{"average_size":1024,"size_variation":1,"delay":%d}`, 1_000_000/(10+r.IntN(200)))
	}, 1500 * time.Millisecond},
}

// victim is a process that can be killed and stopped: the program or a server.
type victim interface {
	// kill ends it by SIGKILL, leaves it dead for a time and starts it again.
	kill(dead time.Duration) error
	// stop keeps it from running, with its connections open. It returns how long it really stood still.
	stop(d time.Duration) (stood time.Duration, err error)
}

// card is one fault that is going to happen.
type card struct {
	kind string // "reset of the source link", "kill of the proxy", ...
	unit string
	play func(r *rand.Rand) (hits int64, err error)
}

// count is what a kind of fault has really done.
type count struct {
	times int   // how often it was tried
	hits  int64 // in its unit
	unit  string
}

// campaign deals faults and counts them.
type campaign struct {
	mu     sync.Mutex
	counts map[string]*count
	diary  []string // what happened when, for a failure
	began  time.Time
	err    error // the first that made a fault impossible
}

func newCampaign() *campaign { return &campaign{counts: map[string]*count{}, began: time.Now()} }

// hit adds to what a kind has done.
func (c *campaign) hit(kind, unit string, hits int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counts[kind]
	if n == nil {
		n = &count{unit: unit}
		c.counts[kind] = n
	}
	n.times++
	n.hits += hits
}

// note writes a line of the diary.
func (c *campaign) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.diary = append(c.diary, fmt.Sprintf("%7.2f s  ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

func (c *campaign) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = cmp.Or(c.err, err)
}

func (c *campaign) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// deal plays cards by some dealers at once, each with pauses in between, and waits until all are played.
func (c *campaign) deal(seed uint64, cards []card, dealers int, pause time.Duration) {
	pile := make(chan card, len(cards))
	for _, one := range cards {
		pile <- one
	}
	close(pile)
	var all sync.WaitGroup
	for d := range dealers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(d)))
			for one := range pile {
				if c.failed() != nil {
					return
				}
				<-time.After(time.Duration(r.Int64N(int64(pause))))
				c.note("%s begins", one.kind)
				hits, err := one.play(r)
				if err != nil {
					c.fail(fmt.Errorf("%s: %w", one.kind, err))
					return
				}
				c.note("%s ends: %d %s", one.kind, hits, one.unit)
				c.hit(one.kind, one.unit, hits)
			}
		})
	}
	all.Wait()
}

// missed are the cards of kinds that have hit nothing.
func (c *campaign) missed(cards []card) (again []card) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range cards {
		if n := c.counts[one.kind]; n == nil || n.hits == 0 {
			if !slices.ContainsFunc(again, func(a card) bool { return a.kind == one.kind }) {
				again = append(again, one)
			}
		}
	}
	return again
}

// hits is how much kinds have done together.
func (c *campaign) hits(cards []card) (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range cards {
		if n := c.counts[one.kind]; n != nil {
			sum += n.hits
		}
	}
	return sum
}

// report is what hit, a kind to a line.
func (c *campaign) report() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for kind, n := range c.counts {
		lines = append(lines, fmt.Sprintf("  %-30s %2d times, %8d %s", kind, n.times, n.hits, n.unit))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// shuffleIn puts more cards anywhere among others, which keep their order.
func shuffleIn(r *rand.Rand, cards, more []card) []card {
	for _, one := range more {
		cards = slices.Insert(cards, r.IntN(len(cards)+1), one)
	}
	return cards
}

// deck is every kind of fault once, of links and processes, in an order of chance.
func deck(r *rand.Rand, links []*link, victims map[string]victim) []card {
	var cards []card
	for _, l := range links {
		for _, f := range linkFaults {
			cards = append(cards, card{f.name + ", " + l.name + " link", f.unit, func(r *rand.Rand) (int64, error) {
				some := [][]string{ways[:], ways[:1], ways[1:]}[r.IntN(3)]
				toxicity := []float32{1, 1, 0.5}[r.IntN(3)]
				return l.suffer(f, f.attributes(r), some, toxicity, f.longest/4+time.Duration(r.Int64N(int64(f.longest*3/4))))
			}})
		}
		cards = append(cards, card{"refusal, " + l.name + " link", "connections", func(r *rand.Rand) (int64, error) {
			return l.refuse(time.Duration(100+r.IntN(1200)) * time.Millisecond)
		}})
	}
	names := make([]string, 0, len(victims))
	for name := range victims {
		names = append(names, name)
	}
	slices.Sort(names) // the order must be the seed's, not the map's
	for _, name := range names {
		v := victims[name]
		cards = append(cards, card{"kill -9, " + name, "processes", func(r *rand.Rand) (int64, error) {
			if err := v.kill(time.Duration(r.IntN(1500)) * time.Millisecond); err != nil {
				return 0, err
			}
			return 1, nil
		}})
		cards = append(cards, card{"stop, " + name, "ms", func(r *rand.Rand) (int64, error) {
			stood, err := v.stop(time.Duration(100+r.IntN(2400)) * time.Millisecond)
			return stood.Milliseconds(), err
		}})
	}
	r.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
	return cards
}
