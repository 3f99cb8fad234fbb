package proxy

import (
	"strings"
	"testing"
)

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

// What a client has once sent is not kept for it, when it is with the server.
func TestWhatWasSentIsNotKept(t *testing.T) {
	h := newHouse(t, false, nil)
	const clients, size = 32, 1 << 20
	value := strings.Repeat("v", size)
	before := heapBytes()
	for range clients {
		h.client().expect("SET a "+value, "+OK")
	}
	h.settled()
	if kept := heapBytes() - before; kept > clients*size/2 {
		t.Errorf("%d bytes are kept for each of %d clients", kept/clients, clients)
	}
}
