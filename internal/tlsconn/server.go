package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// ServerOptions of a Listener.
type ServerOptions struct {
	// Files: Cert and Key are needed; CA is that of clients' certificates, needed with ClientAuth.
	Files Files
	// ClientAuth is "off", "optional" (a client may show a certificate, which then must be valid) or
	// "required".
	ClientAuth string
	// HandshakeTimeout bounds a handshake. Default 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many may be under way; one more is closed. Default 10000, as clients.max.
	MaxHandshakes int
	// KeepAlive is the interval of TCP keepalives. Default 300 s, as clients.tcp_keepalive.
	KeepAlive time.Duration
	// Plain goes to who does not speak TLS. Default an error of RESP.
	Plain string
	Log   *slog.Logger
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = 10000
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = 300 * time.Second
	}
	if o.Plain == "" {
		o.Plain = plainAnswer
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Listener accepts clients that speak TLS. Accept returns those whose handshake is done, as *Conn; handshakes
// run beside each other and beside Accept, so that one that hangs delays nobody.
type Listener struct {
	below    net.Listener
	o        ServerOptions
	material *material

	ready chan net.Conn
	fail  chan error // what the listener below failed with
	slots chan struct{}
	done  chan struct{}
	close sync.Once
	work  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // in their handshake; nil once closed
	told map[string]*repeated  // what was logged of failed handshakes, by reason
}

// repeated is a reason that handshakes fail for again and again.
type repeated struct {
	logged time.Time
	since  int
}

// repeatAfter is how long a reason for failed handshakes is not logged again.
const repeatAfter = time.Minute

// maxReasons bounds what is remembered of what was logged; the reasons are few, unless addresses are in them.
const maxReasons = 100

// plainAnswer goes to who does not speak TLS.
const plainAnswer = "-ERR tandem: this port speaks TLS: connect with rediss:// (redis-cli --tls)\r\n"

// Listen accepts on l, which the Listener owns from now on, even when there is an error.
func Listen(l net.Listener, o ServerOptions) (*Listener, error) {
	o = o.withDefaults()
	m, err := newMaterial(o.Files, o.Log)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	t := &Listener{
		below: l, o: o, material: m,
		ready: make(chan net.Conn), fail: make(chan error), slots: make(chan struct{}, o.MaxHandshakes),
		done: make(chan struct{}), open: map[net.Conn]struct{}{}, told: map[string]*repeated{},
	}
	t.work.Go(t.accept)
	return t, nil
}

// Addr is where it listens.
func (t *Listener) Addr() net.Addr { return t.below.Addr() }

// Accept returns the next client whose handshake is done. The errors are those of the listener below.
func (t *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case err := <-t.fail:
		return nil, err
	case <-t.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and all handshakes under way, and waits for them.
func (t *Listener) Close() error {
	var err error
	t.close.Do(func() {
		err = t.below.Close()
		close(t.done)
		t.mu.Lock()
		for c := range t.open {
			_ = c.Close()
		}
		t.open = nil
		t.mu.Unlock()
		t.work.Wait()
	})
	return err
}

// accept takes connections and starts their handshakes. An error goes to who calls Accept, which knows which of
// them pass.
func (t *Listener) accept() {
	for {
		c, err := t.below.Accept()
		if err != nil {
			select {
			case t.fail <- err:
				continue
			case <-t.done:
				return
			}
		}
		select {
		case t.slots <- struct{}{}:
			t.work.Go(func() { t.handshake(c) })
		default:
			t.tell(c, errors.New("too many handshakes are under way"))
			_ = c.Close()
		}
	}
}

// handshake makes one, and hands the connection over.
func (t *Listener) handshake(c net.Conn) {
	defer func() { <-t.slots }()
	t.mu.Lock()
	closed := t.open == nil
	if !closed {
		t.open[c] = struct{}{}
	}
	t.mu.Unlock()
	if closed {
		_ = c.Close()
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: t.o.KeepAlive, Interval: t.o.KeepAlive / 3, Count: 3})
	}
	s := newSocket(c)
	conn := &Conn{Conn: tls.Server(s, t.config()), below: s}
	_ = c.SetDeadline(time.Now().Add(t.o.HandshakeTimeout))
	err := conn.Handshake()
	t.mu.Lock()
	delete(t.open, c)
	t.mu.Unlock()
	if err != nil {
		t.tell(c, err)
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && !looksLikeTLS(plain.RecordHeader) {
			_, _ = c.Write([]byte(t.o.Plain))
		}
		_ = c.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	select {
	case t.ready <- conn:
	case <-t.done:
		_ = conn.Close()
	}
}

// config is that of one handshake: the files may have changed since the last.
func (t *Listener) config() *tls.Config {
	h := t.material.current()
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*h.cert},
		// Small records first are for browsers; here they would only cost system calls.
		DynamicRecordSizingDisabled: true,
		// Each client is held against the files of the day, and a ticket would need a key for all configs.
		SessionTicketsDisabled: true,
	}
	switch t.o.ClientAuth {
	case "required":
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, h.ca
	case "optional":
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, h.ca
	}
	return c
}

// tell logs why a handshake failed: each reason at once, then at most every repeatAfter with how often it was.
// Who connects and goes away again, as a health check does, is not worth a line.
func (t *Listener) tell(c net.Conn, err error) {
	select {
	case <-t.done:
		return // we closed it
	default:
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		t.o.Log.Debug("a client left before its TLS handshake was done", "addr", c.RemoteAddr().String())
		return
	}
	reason := explainClient(err)
	t.mu.Lock()
	r := t.told[reason]
	if r == nil {
		if len(t.told) >= maxReasons {
			clear(t.told)
		}
		r = &repeated{}
		t.told[reason] = r
	}
	r.since++
	now := t.material.now()
	log := now.Sub(r.logged) >= repeatAfter
	count := r.since
	if log {
		r.logged, r.since = now, 0
	}
	t.mu.Unlock()
	if log {
		t.o.Log.Warn("TLS handshake of a client failed", "addr", c.RemoteAddr().String(), "reason", reason, "times", count)
	}
}
