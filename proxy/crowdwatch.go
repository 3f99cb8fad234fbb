package proxy

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"time"

	"tandem/internal/instance"
	"tandem/internal/resp"
)

// The watcher of a crowd: a connection of our own, on which it is heard that a stream has new entries.

// watch waits for new entries as long as somebody does.
func (c *crowd) watch() {
	sh := c.sh
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		sh.lock()
		inst, ctx := sh.primary.inst, sh.primary.ctx
		sh.unlock()
		began := time.Now()
		err := c.listen(ctx, inst)
		if err == nil || sh.ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			pause = retryMin
		}
		sh.lock()
		moved := sh.primary.inst != inst || c.renewed
		c.renewed = false
		sh.unlock()
		if !moved {
			sh.opt.Log.Debug("a stream cannot be watched", "instance", inst.String(), "error", err)
			select {
			case <-sh.ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		sh.lock()
		c.knock() // nobody has listened meanwhile
		gone := c.desert()
		sh.unlock()
		if gone {
			return
		}
	}
}

// desert forgets the crowd if it is empty. The lock is held.
func (c *crowd) desert() bool {
	if len(c.waiting) > 0 {
		return false
	}
	delete(c.sh.crowds, c.key)
	return true
}

// listen knocks whenever there is something new. It returns nil when nobody waits any more, and the crowd is
// forgotten.
func (c *crowd) listen(ctx context.Context, inst *instance.Instance) error {
	sh := c.sh
	conn, _, err := inst.Open(ctx, sh.ConnName("signal"), inst.Number(c.db))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	sh.lock()
	c.conn = conn
	sh.unlock()
	err = c.listenOn(ctx, conn)
	sh.lock()
	c.conn = nil
	sh.unlock()
	return err
}

// listenOn is listen on a connection.
func (c *crowd) listenOn(ctx context.Context, conn net.Conn) error {
	sh := c.sh
	g := signal{conn: conn}
	key, last := string(c.name), ""
	var served uint64
	for {
		if last == "" {
			// What is there by now, the round finds that follows; from there on, the signal tells.
			reply, err := g.ask(stallLimit, "XREVRANGE", key, "+", "-", "COUNT", "1")
			if err != nil {
				return err
			}
			if last = entryID(reply); last == "" {
				last = "0-0"
			}
			sh.lock()
			served = c.served
			c.knock()
			sh.unlock()
		}
		ms := strconv.FormatInt(lookMax.Milliseconds(), 10)
		reply, err := g.ask(lookMax+stallLimit, "XREAD", "COUNT", "1", "BLOCK", ms, "STREAMS", key, last)
		if err != nil {
			return err
		}
		id := entryID(reply)
		if reply[0] == '-' { // it is no stream at the moment
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lookMin):
			}
		}
		sh.lock()
		switch {
		case id == "":
			last = ""
		case served == c.served && len(c.waiting) > 0:
			last = "" // the last signal was of something that had been taken before: there may be many of them
		default:
			last, served = id, c.served
			c.knock()
		}
		sh.unlock()
		if gone, err := c.idle(ctx); gone || err != nil {
			return err
		}
	}
}

// idle waits while nobody does, and reports whether that has lasted.
func (c *crowd) idle(ctx context.Context) (gone bool, err error) {
	for {
		c.sh.lock()
		empty := len(c.waiting) == 0
		c.sh.unlock()
		if !empty {
			return false, nil
		}
		stays := time.NewTimer(c.sh.opt.crowdStays)
		select {
		case <-c.came:
			stays.Stop()
		case <-ctx.Done():
			stays.Stop()
			return false, ctx.Err()
		case <-stays.C:
			c.sh.lock()
			gone := c.desert()
			c.sh.unlock()
			if gone {
				return true, nil
			}
		}
	}
}

// entryID is the id of the first entry in a reply to XREVRANGE, or to XREAD of one stream; empty if there is none.
func entryID(reply []byte) string {
	for len(reply) > 0 && reply[0] == '*' {
		at := bytes.IndexByte(reply, '\n') + 1
		reply = reply[at:]
	}
	v, n, err := resp.Parse(reply)
	if err != nil || len(reply) == 0 || reply[0] != '$' {
		return ""
	}
	if rest := reply[n:]; bytes.HasPrefix(rest, []byte("*1\r\n*2\r\n")) { // that was the key
		return entryID(rest)
	}
	return string(v.Str)
}

// signal is a watcher's connection.
type signal struct {
	conn   net.Conn
	buf    []byte
	framer resp.Framer
}

// ask sends a command and returns its reply, valid until the next, which may take as long as limit.
func (g *signal) ask(limit time.Duration, command ...string) ([]byte, error) {
	_ = g.conn.SetDeadline(time.Now().Add(limit))
	if _, err := g.conn.Write(frame(command...)); err != nil {
		return nil, err
	}
	g.framer.Reset()
	for filled := 0; ; {
		if filled == len(g.buf) {
			if filled >= maxReply {
				return nil, errEndless
			}
			g.buf = append(g.buf, make([]byte, max(4<<10, len(g.buf)))...)
		}
		n, err := g.conn.Read(g.buf[filled:])
		if err != nil {
			return nil, err
		}
		_, done, err := g.framer.Feed(g.buf[filled : filled+n])
		if err != nil {
			return nil, err
		}
		if filled += n; done {
			reply := g.buf[:filled]
			if filled > 64<<10 {
				g.buf = nil
			}
			return reply, nil
		}
	}
}
