package proxy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"tandem/internal/ledger"
	"tandem/internal/resp"
)

const (
	// invalidations is the channel on which a server reports changed keys to a connection that speaks RESP2.
	invalidations = "__redis__:invalidate"
	// feedBatch is how many reported keys are judged under one lock, and feedNames about how many bytes of names
	// are kept for that.
	feedBatch = 256
	feedNames = 64 << 10
	// feedWriteLimit is how long the server may take no byte of a PING.
	feedWriteLimit = 10 * time.Second
)

// feed is the connection on which the primary reports the keys that others than one lane have changed: CLIENT
// TRACKING in its broadcast form, switched on by the lane itself and redirected here. It belongs to one connection
// of the lane and ends with it.
type feed struct {
	of    *feeds
	ln    *lane
	lane  net.Conn // the lane's connection at the time
	conn  net.Conn
	state feedState
	why   error // it could not be set up

	nulls uint64 // flushes reported
	base  uint64 // flushes of ours that were done when it had reported none
	asked uint64 // the last round of which it was sent a PING
	read  uint64 // ... and whose answer it has read
	owes  bool   // it is asked in the present round, and has not read the answer
	// leaves is the round that must have ended before it may.
	leaves uint64
	since  time.Time

	// of the reader
	names []byte
	ends  []int
	keys  [][]ledger.Key // of each name, in every database
}

type feedState uint8

const (
	feedOpening feedState = iota
	feedRefused           // the server does not want it; the lane goes without until it is connected anew
	feedFlows             // the server reports
	feedSet               // ... and the ledger relies on it
	feedLeaving           // ... or did, and the lane is to be closed (see leave)
	feedOver
)

func (f *feed) live() bool {
	return f.state == feedFlows || f.state == feedSet || f.state == feedLeaving
}

// run sets the feed up and reads it until one of the two connections breaks.
func (f *feed) run() {
	sh := f.of.sh
	ctx, cancel := context.WithCancel(f.ln.of.ctx)
	defer cancel()
	err := f.open(ctx)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = f.conn.Close() })
		defer stop()
		err = f.readAll(bufio.NewReaderSize(f.conn, 64<<10))
	}
	sh.lock()
	defer sh.unlock()
	if f.state != feedRefused {
		f.why = err
	}
	f.of.lost(f)
}

// open connects and asks the lane to have its reports sent here.
func (f *feed) open(ctx context.Context) error {
	sh, inst := f.of.sh, f.ln.of.inst
	conn, _, err := inst.Open(ctx, sh.ConnName("feed"), 0)
	if err != nil {
		return err
	}
	id, err := subscribe(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("%s: %w", inst, err)
	}
	sh.lock()
	defer sh.unlock()
	if f.state == feedOver || f.ln.conn != f.lane {
		_ = conn.Close()
		return errLaneGone
	}
	f.conn = conn
	// OFF first: a connection of this lane that had a feed before would be told that it cannot have another.
	f.ln.enqueue(&request{src: trackingOff, replies: 1, then: func([]byte) []byte { return nil }})
	f.ln.enqueue(&request{src: frame("CLIENT", "TRACKING", "ON", "REDIRECT", id, "BCAST", "NOLOOP"), replies: 1,
		then: func(reply []byte) []byte {
			f.of.answered(f, reply)
			return nil
		}})
	f.ln.flushLocked(nil)
	return nil
}

var (
	trackingOff = frame("CLIENT", "TRACKING", "OFF")
	errLaneGone = errors.New("the lane's connection is gone")
)

// subscribe makes conn one that reports can be redirected to, and returns the id by which the server knows it.
func subscribe(ctx context.Context, conn net.Conn) (id string, err error) {
	reply, err := ask(ctx, conn, clientIDFrame)
	if err != nil {
		return "", fmt.Errorf("CLIENT ID: %w", err)
	}
	if reply[0] != ':' {
		return "", fmt.Errorf("CLIENT ID: %s", replyText(reply))
	}
	id = strings.TrimSpace(string(reply[1:]))
	if reply, err = ask(ctx, conn, frame("SUBSCRIBE", invalidations)); err != nil {
		return "", fmt.Errorf("SUBSCRIBE: %w", err)
	}
	if reply[0] == '-' {
		return "", fmt.Errorf("SUBSCRIBE: %s", replyText(reply))
	}
	return id, nil
}

// replyText is a reply as it can stand in a message.
func replyText(reply []byte) string {
	return oneLine(strings.TrimSpace(strings.TrimPrefix(string(reply), "-")))
}

// ping asks the feed to say how far it has come.
func (f *feed) ping(round uint64) {
	_ = f.conn.SetWriteDeadline(time.Now().Add(feedWriteLimit))
	if _, err := f.conn.Write(resp.AppendCommand(nil, "PING", strconv.FormatUint(round, 10))); err != nil {
		_ = f.conn.Close() // its reader finds out, and what was on the way is lost
	}
}

// errFeed: what came is not what a subscribed connection is sent.
var errFeed = errors.New("what the server reports cannot be followed")

// readAll reads messages until the connection breaks. Each is an array: "message", the channel, and the keys, null for a
// flush; or "pong" and a round's number.
func (f *feed) readAll(r *bufio.Reader) error {
	for {
		n, err := header(r, '*')
		if err != nil {
			return err
		}
		if n < 1 {
			return fmt.Errorf("%w: an array of %d", errFeed, n)
		}
		kind, err := shortString(r)
		if err != nil {
			return err
		}
		switch {
		case kind == "pong" && n == 2:
			round, err := shortString(r)
			if err != nil {
				return err
			}
			number, _ := strconv.ParseUint(round, 10, 64)
			f.of.ponged(f, number)
		case kind == "message" && n == 3:
			if _, err = shortString(r); err == nil {
				err = f.message(r)
			}
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %q with %d elements", errFeed, kind, n)
		}
	}
}

// message reads the keys of one report, however many, and has them judged as they come.
func (f *feed) message(r *bufio.Reader) error {
	kind, err := r.Peek(1)
	if err != nil {
		return err
	}
	if kind[0] == '_' {
		// A null in the form of RESP3, though this connection speaks RESP2: servers write a flush in the lane's protocol.
		if line, err := r.ReadSlice('\n'); err != nil || string(line) != "_\r\n" {
			return cmp.Or(err, fmt.Errorf("%w: %q", errFeed, line[:min(len(line), 32)]))
		}
		f.of.emptied(f)
		return nil
	}
	list := kind[0] == '*'
	n, err := header(r, kind[0])
	switch {
	case err != nil:
		return err
	case n < 0:
		f.of.emptied(f)
		return nil
	case !list:
		return fmt.Errorf("%w: a report without a list of keys", errFeed)
	}
	for range n {
		size, err := header(r, '$')
		if err != nil {
			return err
		}
		if size < 0 {
			return fmt.Errorf("%w: a key that is null", errFeed)
		}
		at := len(f.names)
		if f.names, err = appendRead(f.names, r, size); err != nil {
			return err
		}
		if _, err = r.Discard(2); err != nil {
			return err
		}
		if f.ends = append(f.ends, at+size); len(f.ends) >= feedBatch || len(f.names) >= feedNames {
			f.judge()
		}
	}
	f.judge()
	return nil
}

// judge hands the keys that were read to the ledger, in every database in use, for reports name none.
func (f *feed) judge() {
	sh := f.of.sh
	sh.lock()
	dbs, namesakes := f.of.dbs, f.of.namesakes
	sh.unlock()
	f.keys = f.keys[:0]
	at := 0
	for _, end := range f.ends {
		f.keys = append(f.keys, namesakes.of(sh.ledger, f.names[at:end], dbs))
		at = end
	}
	sh.lock()
	if f.live() && sh.dual {
		for _, keys := range f.keys {
			if sh.ledger.Foreign(f.ln.id, keys) {
				f.of.foreign++
			}
		}
	}
	sh.unlock()
	clear(f.keys)
	if f.ends = f.ends[:0]; cap(f.names) > 4*feedNames {
		f.names = nil // a huge name does not stay in memory
	}
	f.names = f.names[:0]
}

// header reads the line that begins an array or a string, and returns its length; -1 for null.
func header(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 4 || line[0] != kind {
		return 0, fmt.Errorf("%w: %q", errFeed, line[:min(len(line), 32)])
	}
	n, err := strconv.ParseInt(string(line[1:len(line)-2]), 10, 32)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%w: a length of %q", errFeed, line[1:min(len(line), 32)])
	}
	return int(n), nil
}

// shortString reads a string of some bytes.
func shortString(r *bufio.Reader) (string, error) {
	n, err := header(r, '$')
	if err != nil {
		return "", err
	}
	if n < 0 || n > 1024 {
		return "", fmt.Errorf("%w: a string of %d bytes", errFeed, n)
	}
	b := make([]byte, n+2)
	if _, err = io.ReadFull(r, b); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// appendRead appends n bytes, taking memory only for what is there.
func appendRead(b []byte, r *bufio.Reader, n int) ([]byte, error) {
	for n > 0 {
		m := min(n, feedNames)
		at := len(b)
		b = append(b, make([]byte, m)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return b[:at], err
		}
		n -= m
	}
	return b, nil
}
