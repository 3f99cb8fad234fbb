package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is a TLS connection after its handshake. It differs from *tls.Conn in what matters to who may not wait:
//
//   - Close never waits for the other side. tls.Conn waits up to 5 s for room for its last message.
//   - A write deadline that passes while bytes still get through does not end the connection: the deadline
//     that was set is the time from one progress to the next. After a failed write a TLS stream cannot go on,
//     unlike a TCP one, so a large write to a slow reader must not fail half-way.
//   - A stream that ends without TLS's own end is an end like any other (io.EOF): many clients just close, and
//     what of RESP is cut off is seen by its framing.
type Conn struct {
	*tls.Conn
	below   *socket
	explain func(err error, first bool) error // nil, or makes errors clear; first: nothing was ever read
	heard   atomic.Bool                       // something was read
	more    bool                              // the last Read filled its buffer: there may be more without a record
}

// Read reads as tls.Conn does.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.more = n == len(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if err != nil && c.explain != nil {
		err = c.explain(err, !c.heard.Load())
	}
	return n, err
}

// Write writes as tls.Conn does. A server with TLS 1.3 that refuses our certificate says so after the handshake
// and closes; its words are there to be read although a write has failed by then.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || c.explain == nil || c.heard.Load() || !gone(err) {
		return n, err
	}
	_ = c.SetReadDeadline(time.Now().Add(lastWords))
	if _, last := c.Conn.Read(make([]byte, 1)); alertOf(last) != "" {
		err = last
	}
	return n, c.explain(err, true)
}

// lastWords is how long a connection that is gone is read from.
const lastWords = 100 * time.Millisecond

// gone tells whether the other side has ended the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Close closes the connection at once. The other side is told so if there is room for that.
func (c *Conn) Close() error {
	c.below.closing.Store(true)
	// Ends a write that waits, whoever makes it: an answer to a key update is written by a reader, with
	// tls.Conn's lock held.
	_ = c.below.Conn.SetWriteDeadline(time.Unix(1, 0))
	return c.Conn.Close()
}

// socket is the connection below TLS.
type socket struct {
	net.Conn
	in       *records
	raw      syscall.RawConn // nil where there is none
	closing  atomic.Bool
	allow    atomic.Int64 // ns that a write may take without progress; 0 is for ever
	progress atomic.Int64 // when bytes got through last, or the deadline was set, Unix ns
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	if sc, ok := c.(syscall.Conn); ok {
		s.raw, _ = sc.SyscallConn()
	}
	s.in = newRecords(c, s.raw)
	return s
}

func (s *socket) Read(b []byte) (int, error) { return s.in.Read(b) }

// SetWriteDeadline sets the deadline, and remembers how far away it is.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if s.closing.Load() {
		return nil // tls.Conn wants to wait for its last message
	}
	now, allow := time.Now(), int64(0)
	if !t.IsZero() {
		allow = max(1, int64(t.Sub(now)))
	}
	s.progress.Store(now.UnixNano())
	s.allow.Store(allow)
	return s.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both.
func (s *socket) SetDeadline(t time.Time) error {
	if err := s.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

func (s *socket) Write(b []byte) (int, error) {
	if s.closing.Load() {
		return s.writeNow(b)
	}
	for done := 0; ; {
		n, err := s.Conn.Write(b[done:])
		done += n
		now := time.Now()
		if n > 0 {
			s.progress.Store(now.UnixNano())
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || s.closing.Load() {
			return done, err
		}
		left := time.Duration(s.progress.Load() + s.allow.Load() - now.UnixNano())
		if left <= 0 {
			return done, err
		}
		if err := s.Conn.SetWriteDeadline(now.Add(left)); err != nil {
			return done, err
		}
	}
}

// writeNow writes what there is room for, whatever the deadline.
func (s *socket) writeNow(b []byte) (n int, err error) {
	if s.raw == nil {
		return 0, os.ErrDeadlineExceeded
	}
	if cerr := s.raw.Control(func(fd uintptr) { n, err = syscall.Write(int(fd), b) }); cerr != nil {
		return 0, cerr
	}
	return max(n, 0), err
}
