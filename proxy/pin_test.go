package proxy

import (
	"net"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// A connection of a session's own that breaks before it has come about is tried again, as long as a command may wait.
func TestAPinnedLaneThatDoesNotComeAboutIsTriedAgain(t *testing.T) {
	var relay *redisdtest.Relay
	h := newHouseBehind(t, redisd.Options{}, redisd.Options{}, func(s *redisd.Server) string {
		r := redisdtest.StartRelay(t, s.Addr)
		if relay == nil {
			relay = r
		}
		return r.Addr
	}, true, nil)
	c := h.client()
	c.expect("SET k 1", "+OK")

	broken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; tries < 3; tries++ {
			conn, err := broken.Accept()
			if err != nil {
				return
			}
			if tries == 2 {
				relay.Lead(h.source.Addr)
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	relay.Lead(broken.Addr().String())
	c.expect("MULTI", "+OK")
	c.expect("INCR k", "+QUEUED")
	c.expect("EXEC", "*1 :2")
	_ = broken.Close()
	<-ended
	if tries != 3 {
		t.Errorf("%d connections were broken", tries)
	}
}
