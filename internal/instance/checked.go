package instance

import (
	"fmt"
	"net"
	"sync/atomic"

	"tandem/internal/resp"
)

// maxReplyElements is how many elements one reply may announce that are not there yet. A page of SCAN has some
// thousands; what rueidis makes room for at once is 56 bytes for each.
const maxReplyElements = 1 << 20

// checkedConn is a connection of rueidis', which believes servers: it makes room for whatever a header announces
// (a length below zero, or near 2^63, ends the process), and ends the process at a reply that nobody asked for.
// So each reply is framed before rueidis sees a byte of it; what is wrong is an error of Read, and the bytes in
// front of it are the last ones.
//
//	rueidis ──► Write: counts the commands ──► server
//	        ◄── Read: as many replies, each within its bounds ◄──
type checkedConn struct {
	net.Conn
	of *Instance

	commands resp.Framer // of what is written: requests have the form of replies
	asked    atomic.Int64

	// of the reader
	replies  resp.Framer
	within   bool // a reply has begun
	answered int64
	bytes    int64 // of the reply in progress
	failed   error
}

func (i *Instance) checked(c net.Conn) *checkedConn {
	return &checkedConn{Conn: c, of: i, replies: resp.NewStrictFramer(resp.Strict{
		Bulk: i.opts.MaxReplyBytes, Elements: maxReplyElements,
	})}
}

// Write counts the commands before the server can have them. (net.Conn; rueidis writes from one goroutine at a
// time)
func (c *checkedConn) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n, done, err := c.commands.Feed(rest)
		if err != nil {
			return 0, fmt.Errorf("%s: a command that is none: %w", c.of, err)
		}
		if rest = rest[n:]; done {
			c.asked.Add(1)
		}
	}
	return c.Conn.Write(b)
}

// Read returns bytes of replies that are in order. (net.Conn)
func (c *checkedConn) Read(b []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.Conn.Read(b)
	good, wrong := c.check(b[:n])
	if wrong == nil {
		return n, err
	}
	c.failed = fmt.Errorf("%s: its replies cannot be followed: %w (%w)", c.of, ErrNotRedis, wrong)
	if good == 0 {
		return 0, c.failed
	}
	return good, nil
}

// check returns how many bytes belong to replies with which nothing is wrong.
func (c *checkedConn) check(b []byte) (good int, err error) {
	for good < len(b) {
		if !c.within {
			if c.answered == c.asked.Load() {
				return good, errUnaskedReply
			}
			c.within, c.bytes = true, 0
		}
		n, done, err := c.replies.Feed(b[good:])
		if c.bytes += int64(n); err == nil && c.bytes > c.of.opts.MaxReplyBytes+replyMargin {
			err = fmt.Errorf("a reply of more than %d bytes", c.of.opts.MaxReplyBytes)
		}
		if err != nil {
			return good, err
		}
		if good += n; done {
			c.within = false
			c.answered++
		}
	}
	return good, nil
}

// replyMargin is what a reply may have besides its longest string.
const replyMargin = 1 << 20

var errUnaskedReply = fmt.Errorf("a reply that nobody asked for")
