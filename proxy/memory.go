package proxy

import "sync/atomic"

// memory bounds what all clients of a server occupy together: what has come of commands, transactions that are being
// queued, replies that they have not read. Each of these has a bound for one client too, which a few of them could
// reach at once. Beyond the limit the client that occupies most is closed; those who occupy little never are
// because of others.
//
// What is on its way to the primary is not in it: see lane.full.
type memory struct {
	limit int64
	used  atomic.Int64
}

// hold counts n bytes more (or less) that the session occupies, and makes room where that is too much. It is called
// with no lock held but, at most, the shard's.
func (s *session) hold(n int) {
	s.held.Add(int64(n))
	if s.srv.memory.used.Add(int64(n)) > s.srv.memory.limit && n > 0 {
		s.srv.makeRoom()
	}
}

// release forgets what a session that is closed occupied: its memory is free as soon as its goroutines have seen
// that.
func (s *session) release() { s.srv.memory.used.Add(-s.held.Swap(0)) }

// makeRoom closes those who occupy most, until what is left is within the limit.
func (srv *Server) makeRoom() {
	for srv.memory.used.Load() > srv.memory.limit {
		var most *session
		var held int64
		srv.mu.Lock()
		for s := range srv.sessions {
			if n := s.held.Load(); n > held && !s.closed.Load() {
				most, held = s, n
			}
		}
		srv.mu.Unlock()
		if most == nil {
			return
		}
		most.close(MemoryLimit)
	}
}
