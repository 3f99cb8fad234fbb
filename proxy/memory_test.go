package proxy

import "testing"

// What a client that is being closed occupies until that is done is no reason to close another.
func TestNobodyIsClosedForWhoIsBeingClosed(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.Memory = 8 << 20 })
	for range 2 {
		h.client().expect("PING", "+PONG")
	}
	all := h.server.all()
	all[0].closed.Store(true)
	all[0].hold(16 << 20)
	all[1].hold(1)
	if all[1].closed.Load() {
		t.Error("the other one was closed")
	}
	all[0].closed.Store(false)
	all[1].hold(1)
	if !all[0].closed.Load() || all[1].closed.Load() {
		t.Error("not the one that occupies most was closed")
	}
}
