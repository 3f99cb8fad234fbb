package proxy

import (
	"time"

	"tandem/internal/loop"
)

// takeTurn is the session's part of a round of its loop: one read, and what there is to do with it. It reports whether it
// has left something unread.
func (s *session) takeTurn(t *loop.Turn) (more bool) {
	if s.over {
		return false
	}
	s.turn = t
	more, alive := s.look()
	if !alive {
		s.over = true
		s.end()
		s.srv.forget()
	}
	s.turn = nil
	return more && alive
}

// look reads once. False: the session has ended.
func (s *session) look() (more, alive bool) {
	if !s.prepare() {
		return false, false
	}
	if s.w-s.r >= bulk {
		s.turn.StepAside() // room for so much more takes long to make
	}
	n, full, err := s.input.poll(s.guard.Want())
	if err == loop.ErrNotYet {
		s.input.stow()
		s.endIfSilent()
		return false, !s.closed.Load()
	}
	if !s.received(n, err) {
		return false, false
	}
	if full || s.sock.MoreBehind() {
		return true, true // what stands behind what was read, and came with it, makes no turn of its own
	}
	s.input.stow()
	return false, true
}

// watchIdle has those look who have been silent, as long as the server is there.
func (srv *Server) watchIdle() {
	tick := time.NewTicker(max(min(srv.IdleTimeout/4, time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-srv.ended:
			return
		case <-tick.C:
			srv.lookForSilent()
		}
	}
}

// lookForSilent has those look who have been silent for IdleTimeout, and notes whom we have kept waiting meanwhile.
func (srv *Server) lookForSilent() {
	now := time.Now()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		switch {
		case s.sock == nil || s.silent(now) < srv.IdleTimeout:
		case s.waits():
			s.kept.Store(now.UnixNano())
		default:
			_ = s.conn.SetReadDeadline(now)
		}
	}
}
