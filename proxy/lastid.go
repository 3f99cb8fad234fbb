package proxy

import (
	"bytes"

	"tandem/internal/instance"
	"tandem/internal/resp"
	"tandem/router"
)

// pinLastIDs makes "$" the id that it stands for now: the command may be issued more than once. over is true if the
// client has an answer.
func (s *session) pinLastIDs(b *blocking) (over, alive bool) {
	for _, at := range b.cmd.Streams(b.args) {
		id, over, alive := s.lastID(b.args[at.Key])
		if over || !alive {
			return over, alive
		}
		if id != nil { // else the client will get an error
			b.args[at.ID] = id
			b.raw = resp.AppendArgs(nil, b.args)
		}
	}
	return false, true
}

// lastID finds out what "$" stands for. A user may be allowed to read a stream and not to ask about it; then it is asked
// in the name of the proxy, or looked at. nil: the user may not read it, or it is no stream, or nobody may ask.
func (s *session) lastID(key []byte) (id []byte, over, alive bool) {
	var known, mayRead bool
	over, alive = s.inquire(router.AppendLastIDRead(nil, key), func(reply []byte) {
		if id, known = router.ReadLastID(reply); known {
			id = bytes.Clone(id)
		}
	})
	if known || over || !alive {
		return id, over, alive
	}
	over, alive = s.inquire(router.AppendNothingRead(nil, key), func(reply []byte) { mayRead = reply[0] != '-' })
	if !mayRead || over || !alive {
		return nil, over, alive
	}
	if id = s.lastIDAsProxy(key); id != nil {
		return id, false, !s.closed.Load()
	}
	over, alive = s.inquire(router.AppendLastEntryRead(nil, key), func(reply []byte) {
		if id, known = router.ReadLastEntry(reply); known {
			id = bytes.Clone(id)
		}
	})
	return id, over, alive
}

// lastIDAsProxy asks with the proxy's own rights. It returns nil if that does not help.
func (s *session) lastIDAsProxy(key []byte) []byte {
	ctx, cancel := s.bound(s.sh.opt.PrimaryWait)
	defer cancel()
	reply, err := s.insist(ctx, func(i *instance.Instance) ([]byte, error) {
		conn, _, err := i.Open(ctx, s.sh.ConnName("control"), i.Number(s.db))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return ask(ctx, conn, router.AppendLastIDRead(nil, key))
	})
	if err != nil {
		return nil
	}
	id, _ := router.ReadLastID(reply)
	return id
}
