package proxy

import (
	"sync"
	"sync/atomic"
)

// memory bounds what all clients of a server occupy together: what has come of commands, transactions that are being
// queued, replies that they have not read. Each of these has a bound for one client too, which a few of them could
// reach at once. Beyond the limit the client that occupies most is closed; those who occupy little never are
// because of others.
//
// What is on its way to the primary is not in it: see lane.full.
type memory struct {
	limit atomic.Int64
	used  atomic.Int64
}

// share is what one session occupies.
type share struct {
	mu    sync.Mutex
	bytes atomic.Int64 // changed under mu
	over  bool         // the session is closed: its memory is free as soon as its goroutines have seen that
}

// hold counts n bytes more (or less) that the session occupies, and makes room where that is too much. It is called
// with no lock held but, at most, the shard's.
func (s *session) hold(n int) {
	of := &s.srv.memory
	s.share.mu.Lock()
	if s.share.over {
		// Not even counted: others would be closed for it.
		s.share.mu.Unlock()
		return
	}
	s.share.bytes.Add(int64(n))
	used := of.used.Add(int64(n))
	s.share.mu.Unlock()
	if used > of.limit.Load() && n > 0 {
		s.srv.makeRoom()
	}
}

// release ends the count of a session that is closed.
func (s *session) release() {
	s.share.mu.Lock()
	s.share.over = true
	s.srv.memory.used.Add(-s.share.bytes.Swap(0))
	s.share.mu.Unlock()
}

// makeRoom closes those who occupy most, until what is left is within the limit. Those who are closed occupy something
// until it is free: others are not closed for that.
func (srv *Server) makeRoom() {
	for srv.memory.used.Load() > srv.memory.limit.Load() {
		var most *session
		var left, held int64
		srv.mu.Lock()
		for s := range srv.sessions {
			if s.closed.Load() {
				continue
			}
			n := s.share.bytes.Load()
			if left += n; n > held {
				most, held = s, n
			}
		}
		srv.mu.Unlock()
		if left <= srv.memory.limit.Load() {
			return
		}
		most.close(MemoryLimit)
	}
}
