package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/tidwall/redcon"

	"tandem/internal/resp"
)

// Dial opens a TCP connection with TCP_NODELAY and keepalive, makes the TLS handshake on it if the URL asks for
// TLS, and says nothing more. For lanes, which speak RESP themselves: see Greeting. The caller owns the
// connection and its deadlines. Errors are ErrUnreachable, ErrTLS, or the context's own.
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) {
	c, err := i.dialTCP(ctx)
	if err != nil || i.tls == nil {
		return c, err
	}
	return i.handshake(ctx, c)
}

// dialTCP is Dial without the handshake.
func (i *Instance) dialTCP(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{
		Timeout: i.opts.DialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     i.opts.KeepAlive,
			Interval: i.opts.KeepAlive / 3,
			Count:    3,
		},
	}
	c, err := d.DialContext(ctx, "tcp", i.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: connect: %w", i, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%s %w: %w", i, ErrUnreachable, err)
	}
	if err := i.leadsBack(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	// Go sets it already; said here because lanes rest on it: a batch must not wait for the ACK of the last.
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
	return c, nil
}

// handshake speaks TLS on c, within the dial timeout.
func (i *Instance) handshake(ctx context.Context, c net.Conn) (net.Conn, error) {
	host, _, err := net.SplitHostPort(i.Addr)
	if err != nil {
		host = i.Addr
	}
	limited, cancel := context.WithTimeout(ctx, i.opts.DialTimeout)
	defer cancel()
	secured, err := i.tls.Handshake(limited, c, host)
	if err == nil {
		return secured, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: connect: %w", i, context.Cause(ctx))
	}
	return nil, &handshakeError{text: fmt.Sprintf("%s: TLS: %v", i, err), cause: err}
}

// Open is Dial and a greeting: the connection is authenticated, named and in db, every reply of the greeting
// was read and nothing else was. named is false when the server refused CLIENT SETNAME. The caller owns the
// connection; it has no deadline set.
func (i *Instance) Open(ctx context.Context, name string, db int) (c net.Conn, named bool, err error) {
	return i.open(ctx, greeting{name: name, db: db})
}

// openOnce is open with the password there is.
func (i *Instance) openOnce(ctx context.Context, g greeting) (net.Conn, bool, error) {
	c, err := i.Dial(ctx)
	if err != nil {
		return nil, false, err
	}
	named, err := i.greet(ctx, c, g)
	if err != nil {
		_ = c.Close()
		return nil, false, err
	}
	return c, named, nil
}

// Conn is a plain synchronous connection for control work: one command, one reply. It speaks RESP2. It is not
// safe for concurrent use.
type Conn struct {
	// Named is false when the server refused CLIENT SETNAME.
	Named bool

	i *Instance
	c net.Conn
	r reader
	// broken is the I/O error that ended it: its replies would be out of step from then on.
	broken error
}

// Conn dials and greets. ctx bounds that only, not the connection's life. The caller closes it.
func (i *Instance) Conn(ctx context.Context, name string, db int) (*Conn, error) {
	c, named, err := i.Open(ctx, name, db)
	if err != nil {
		return nil, err
	}
	return &Conn{Named: named, i: i, c: c, r: reader{conn: c}}, nil
}

// Do sends one command and waits for its reply, for as long as ReplyTimeout and ctx allow. An error reply
// comes back as an error that wraps *ReplyError, with the command's name but not its arguments. The Value is
// the caller's to keep. After an I/O error the connection is of no more use.
func (c *Conn) Do(ctx context.Context, args ...string) (resp.Value, error) {
	v, err := c.Pipe(ctx, args)
	if err != nil {
		return resp.Value{}, err
	}
	if v[0].IsError() {
		return v[0], fmt.Errorf("%s: %s: %w", c.i, commandName(args), &ReplyError{Text: string(v[0].Str)})
	}
	return v[0], nil
}

// Pipe sends commands in one write and returns their replies in order. Error replies are among them (see
// ReplyOf); the error is for what happened to the connection.
func (c *Conn) Pipe(ctx context.Context, cmds ...[]string) ([]resp.Value, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	var out []byte
	for _, args := range cmds {
		out = redcon.AppendArray(out, len(args))
		for _, a := range args {
			out = redcon.AppendBulkString(out, a)
		}
	}
	doing := commandName(cmds[0])
	defer bound(ctx, c.c, c.i.opts.ReplyTimeout)()
	if _, err := c.c.Write(out); err != nil {
		c.broken = c.i.broken(ctx, doing, err)
		return nil, c.broken
	}
	replies := make([]resp.Value, 0, len(cmds))
	for range cmds {
		v, err := c.r.next()
		if err != nil {
			c.broken = c.i.broken(ctx, doing, err)
			return nil, c.broken
		}
		replies = append(replies, v)
	}
	return replies, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.c.Close() }

// ReplyOf is v's error as *ReplyError, or nil if v is not an error reply.
func ReplyOf(v resp.Value) error {
	if !v.IsError() {
		return nil
	}
	return &ReplyError{Text: string(v.Str)}
}

// commandName is what errors call a command: its name, and the subcommand of the containers used here.
func commandName(args []string) string {
	if len(args) > 1 && (args[0] == "CLIENT" || args[0] == "CONFIG") {
		return args[0] + " " + args[1]
	}
	return args[0]
}

// bound gives c a deadline and makes ctx interrupt it; the returned function takes both back.
func bound(ctx context.Context, c net.Conn, timeout time.Duration) func() {
	_ = c.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = c.SetDeadline(time.Time{})
		}
	}
}

// maxReply bounds what a Conn takes in for one reply. Control work sees nothing larger than a CLIENT LIST,
// some 400 bytes a client.
const maxReply = 64 << 20

// reader takes replies off a connection. Every reply is parsed from memory of its own, so that it can be kept.
type reader struct {
	conn   net.Conn
	buf    []byte // read and not yet returned
	framed int    // how much of it framer has seen
	framer *resp.Framer
}

// protocolError says that what came is not RESP.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// next returns the next reply. It reads no further than the server has sent, so on a connection with nothing
// outstanding nothing is left in the buffer.
func (r *reader) next() (resp.Value, error) {
	if r.framer == nil {
		strict := resp.NewStrictFramer(resp.Strict{Bulk: maxReply, Elements: maxReplyElements})
		r.framer = &strict
	}
	for {
		// Framed piece by piece and parsed once: a server that sends byte by byte costs no more than others.
		if r.framed < len(r.buf) {
			n, done, err := r.framer.Feed(r.buf[r.framed:])
			if err != nil {
				return resp.Value{}, &protocolError{err}
			}
			if r.framed += n; done {
				v, n, err := resp.Parse(r.buf[:r.framed])
				if err != nil {
					return resp.Value{}, &protocolError{err}
				}
				r.buf = r.buf[n:len(r.buf):len(r.buf)] // the next read must not write into what v points to
				r.framed = 0
				return v, nil
			}
		}
		if len(r.buf) == cap(r.buf) {
			if len(r.buf) >= maxReply {
				return resp.Value{}, &protocolError{fmt.Errorf("a reply of more than %d bytes", maxReply)}
			}
			grown := make([]byte, len(r.buf), max(4096, 2*len(r.buf)))
			copy(grown, r.buf)
			r.buf = grown
		}
		n, err := r.conn.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) && len(r.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return resp.Value{}, err
		}
	}
}
