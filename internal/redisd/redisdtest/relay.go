package redisdtest

import (
	"net"
	"sync"
	"testing"
)

// Relay is the network between a test and a server: it passes bytes on, until it is told otherwise.
type Relay struct {
	// Addr is where to connect instead of the server.
	Addr string

	listener net.Listener
	work     sync.WaitGroup

	mu      sync.Mutex
	server  string
	hanging bool
	links   map[*link]struct{}
}

// link is one connection through the relay.
type link struct {
	client, server net.Conn
	// pass is closed while bytes may pass; under the relay's lock.
	pass chan struct{}
	held bool
}

var passing = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// StartRelay starts a relay to a server's address. It ends with the test.
func StartRelay(t testing.TB, server string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Addr: l.Addr().String(), listener: l, server: server, links: map[*link]struct{}{}}
	r.work.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		r.work.Wait()
	})
	return r
}

// HoldBack keeps what is sent on the connections that are open now, in both directions: they look alive, and nothing
// arrives. New connections pass. One that is closed at one end meanwhile is closed at the other only when it is released, behind all
// that was sent.
func (r *Relay) HoldBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		r.hold(l)
	}
}

// Hang is HoldBack for new connections too: they come about, and nothing arrives.
func (r *Relay) Hang() {
	r.HoldBack()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging = true
}

func (r *Relay) hold(l *link) {
	if !l.held {
		l.held, l.pass = true, make(chan struct{})
	}
}

// Release lets everything pass that was held back, and what comes after it.
func (r *Relay) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging = false
	for l := range r.links {
		if l.held {
			l.held = false
			close(l.pass)
			l.pass = passing
		}
	}
}

// Lead makes new connections go to another server.
func (r *Relay) Lead(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = server
}

// Cut breaks all connections.
func (r *Relay) Cut() {
	r.Release()
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		_ = l.client.Close()
		_ = l.server.Close()
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		address := r.server
		r.mu.Unlock()
		server, err := net.Dial("tcp", address)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server, pass: passing}
		r.mu.Lock()
		r.links[l] = struct{}{}
		if r.hanging {
			r.hold(l)
		}
		r.mu.Unlock()
		r.work.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { r.carry(l, client, server) })
			both.Go(func() { r.carry(l, server, client) })
			both.Wait()
			r.mu.Lock()
			delete(r.links, l)
			r.mu.Unlock()
		})
	}
}

// carry passes bytes on in one direction, and the end of the connection behind them.
func (r *Relay) carry(l *link, from, to net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		r.mu.Lock()
		pass := l.pass
		r.mu.Unlock()
		<-pass
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}
