package loop

import (
	"net"
	"sync/atomic"
)

// Set is several loops, for as many processors.
type Set struct {
	loops []*Loop
	next  atomic.Uint32
}

// Start starts n loops.
func Start(n int) (*Set, error) {
	s := &Set{}
	for range n {
		l, err := New()
		if err != nil {
			s.Close()
			return nil, err
		}
		s.loops = append(s.loops, l)
	}
	return s, nil
}

// Close closes all of them.
func (s *Set) Close() {
	if s == nil {
		return
	}
	for _, l := range s.loops {
		l.Close()
	}
}

// Take has the next of the loops adopt conn, and returns what is to be used instead: a *Conn, or conn as it was where that
// is not possible, for it is no plain socket or the set is nil.
func (s *Set) Take(conn net.Conn) net.Conn {
	if s == nil {
		return conn
	}
	c, err := s.loops[int(s.next.Add(1))%len(s.loops)].Adopt(conn)
	if err != nil {
		return conn
	}
	return c
}
