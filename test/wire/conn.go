// Package wire is the end-to-end suite's own Redis client: a few hundred lines that share nothing with the
// program under test, so that a mistake in one is not repeated by the other.
//
// A Conn is one TCP connection with an explicit pipeline: Send any number of commands, Flush, Receive as many
// replies. It never retries and never reconnects: what the connection does is what the tests are about. A
// Conn belongs to one goroutine.
package wire

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"strconv"
	"time"
)

// Timeout is how long a Conn waits for the network, from each Flush on and for each reply, if not told
// otherwise. It ends a test that would hang; nothing that works takes this long.
const Timeout = 60 * time.Second

// readBuffer holds a pipeline's worth of small replies.
const readBuffer = 64 << 10

// Conn is a connection to a server or to the proxy.
type Conn struct {
	// Addr is what was dialled.
	Addr string
	// Timeout bounds each Flush and each Receive; Dial sets it to the constant Timeout.
	Timeout time.Duration

	nc  net.Conn
	r   *bufio.Reader
	out []byte
}

// Dial connects to addr ("host:port").
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return &Conn{Addr: addr, Timeout: Timeout, nc: nc, r: bufio.NewReaderSize(nc, readBuffer)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Net is the connection beneath, for tests that misbehave on purpose.
func (c *Conn) Net() net.Conn { return c.nc }

// Send queues one command; nothing leaves before Flush.
func (c *Conn) Send(args ...string) {
	c.out = AppendCommand(c.out, args...)
}

// SendRaw queues bytes as they are.
func (c *Conn) SendRaw(b string) { c.out = append(c.out, b...) }

// AppendCommand appends a command as a RESP array of bulk strings.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(len(args)), 10)
	dst = append(dst, '\r', '\n')
	for _, a := range args {
		dst = append(dst, '$')
		dst = strconv.AppendInt(dst, int64(len(a)), 10)
		dst = append(dst, '\r', '\n')
		dst = append(dst, a...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// Flush writes what was queued.
func (c *Conn) Flush() error {
	if err := c.nc.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return fmt.Errorf("deadline of %s: %w", c.Addr, err)
	}
	_, err := c.nc.Write(c.out)
	if cap(c.out) > 1<<20 { // a big value's buffer is not kept
		c.out = nil
	}
	c.out = c.out[:0]
	if err != nil {
		return fmt.Errorf("write to %s: %w", c.Addr, err)
	}
	return nil
}

// Receive reads one reply. An error reply is a Reply, not an error.
func (c *Conn) Receive() (Reply, error) {
	rep, err := c.read()
	if err != nil {
		return Reply{}, fmt.Errorf("read from %s: %w", c.Addr, err)
	}
	return rep, nil
}

// Do sends one command and reads its reply; here an error reply is an error, of type ServerError.
func (c *Conn) Do(args ...string) (Reply, error) {
	c.Send(args...)
	if err := c.Flush(); err != nil {
		return Reply{}, err
	}
	rep, err := c.Receive()
	if err != nil {
		return Reply{}, err
	}
	if rep.Kind == '-' {
		return rep, ServerError(rep.Str)
	}
	return rep, nil
}

// DoMany sends commands as one pipeline and returns their replies, error replies among them.
func (c *Conn) DoMany(cmds [][]string) ([]Reply, error) {
	for _, cmd := range cmds {
		c.Send(cmd...)
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	replies := make([]Reply, len(cmds))
	for i := range replies {
		var err error
		if replies[i], err = c.Receive(); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// ServerError is the text of an error reply, without its leading "-".
type ServerError string

func (e ServerError) Error() string { return string(e) }

// Once dials, runs one command and closes.
func Once(addr string, args ...string) (Reply, error) {
	c, err := Dial(addr)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	return c.Do(args...)
}

// digestSeed makes digests of one process comparable.
var digestSeed = maphash.MakeSeed()

// Digest stands for a bulk reply that was not kept.
type Digest struct {
	// Null is set for the null bulk string; Err is the text of an error reply.
	Null bool
	Err  string
	// Len is the whole length in bytes, Sum a 64-bit hash of all but the bytes that were left out.
	Len int64
	Sum uint64
}

// ReceiveDigest reads a bulk reply of any size in constant memory. The last tail bytes are not hashed: DUMP's
// end in the server's version and a checksum.
func (c *Conn) ReceiveDigest(tail int64) (Digest, error) {
	d, err := c.readDigest(tail)
	if err != nil {
		return d, fmt.Errorf("read from %s: %w", c.Addr, err)
	}
	return d, nil
}

func (c *Conn) readDigest(tail int64) (Digest, error) {
	kind, line, err := c.readLine()
	if err != nil {
		return Digest{}, err
	}
	switch kind {
	case '-':
		return Digest{Err: line}, nil
	case '_':
		return Digest{Null: true}, nil
	case '$':
	default:
		return Digest{}, fmt.Errorf("reply %c%s is no bulk string", kind, line)
	}
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return Digest{}, fmt.Errorf("bad bulk length %q", line)
	}
	if n < 0 {
		return Digest{Null: true}, nil
	}
	var h maphash.Hash
	h.SetSeed(digestSeed)
	hashed := max(n-tail, 0)
	for left := hashed; left > 0; {
		b, err := c.r.Peek(int(min(left, readBuffer)))
		if err != nil && len(b) == 0 {
			return Digest{}, unexpected(err)
		}
		h.Write(b)
		if _, err := c.r.Discard(len(b)); err != nil {
			return Digest{}, unexpected(err)
		}
		left -= int64(len(b))
	}
	if _, err := io.CopyN(io.Discard, c.r, n-hashed+2); err != nil {
		return Digest{}, unexpected(err)
	}
	return Digest{Len: n, Sum: h.Sum64()}, nil
}
