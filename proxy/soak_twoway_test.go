package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"tandem/internal/redisd"
)

// Clients go from one instance to the other and back, and both are written at all the time, while connections of either are
// killed from outside and either server stops for a while.
func TestSoakOfTwoWay(t *testing.T) {
	soakPair(t, redisd.Options{}).run(2*time.Second, (*soak).cutEither)
}

// Either server crashes and comes back with its data.
func TestSoakOfTwoWayCrashes(t *testing.T) {
	soakPair(t, redisd.Options{Save: true}).run(2*time.Second, (*soak).cutEither, (*soak).crash)
}

func soakPair(t *testing.T, o redisd.Options) *soak {
	s := seededSoak(t)
	p := newPairWith(t, o, func(o *Options) {
		o.Lanes = 2
		o.MaxLagBytes = 256 << 10
		o.PrimaryWait = 30 * time.Second
	})
	s.house = p.house
	s.doors = []string{p.server.Addr().String(), p.back.server.Addr().String()}
	s.primary, s.secondary = s.src, s.tgt
	s.link = &link{stop: func() {}}
	return s
}

// cutEither is cut with either of the two as the primary.
func (s *soak) cutEither(rnd *rand.Rand) {
	s.mu.Lock()
	primary, secondary := s.primary.Addr, s.secondary.Addr
	server := s.process(s.secondary)
	if rnd.IntN(2) == 0 {
		primary, secondary, server = secondary, primary, s.process(s.primary)
	}
	s.mu.Unlock()
	s.cutBetween(primary, secondary, server, rnd)
}
