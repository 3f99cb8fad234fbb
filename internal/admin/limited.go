package admin

import (
	"net"
	"sync"
)

// limited is a listener that accepts no more connections than there are places.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  func() error
}

func newLimited(l net.Listener, most int) *limited {
	closed := make(chan struct{})
	return &limited{Listener: l, places: make(chan struct{}, most), closed: closed, close: sync.OnceValue(func() error {
		close(closed)
		return l.Close()
	})}
}

// Accept waits for a place, then for a connection. (net.Listener)
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close ends a wait of Accept, too. (net.Listener)
func (l *limited) Close() error { return l.close() }

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
