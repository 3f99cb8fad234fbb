package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"tandem/internal/demo/child"
	"tandem/internal/redisd"
	"tandem/internal/status"
)

// valueSizes are those that are sent once: 512 MB is the most that a Redis takes by default.
var valueSizes = []int{1, 64, 1 << 10, 16 << 10, 256 << 10, 1 << 20, 16 << 20, 128 << 20, 512 << 20}

// quickSizes is how many of them --quick measures.
const quickSizes = 7

// sizeTimeout bounds what one value may take.
const sizeTimeout = 2 * time.Minute

// benchSizes sends one value of each size and reads it again: to the server, through a tandem, and through one that
// writes to two servers.
func benchSizes(ctx context.Context, log *slog.Logger, root string, o options, into *results) error {
	if !o.has("sizes") {
		return nil
	}
	f, err := newFleet(root, o.tandem)
	if err != nil {
		return err
	}
	defer f.stop()
	var servers [5]*redisd.Server
	for i := range servers {
		if servers[i], err = f.server(); err != nil {
			return err
		}
	}
	through, err := f.serve(ctx, servers[1], servers[2])
	if err != nil {
		return err
	}
	_, both, err := f.dualWrite(ctx, "sizes", servers[3], servers[4])
	if err != nil {
		return err
	}
	all := valueSizes
	if o.Quick {
		all = all[:quickSizes]
	}
	for round := 1; round <= o.Rounds; round++ {
		for _, bytes := range all {
			for _, way := range []struct {
				name  string
				addr  string
				proxy *child.Proxy
				waits bool
			}{{"direct", servers[0].Addr, nil, false}, {"passthrough", through.Listen, through, false}, {"synced", both.proxy.Listen, both.proxy, true}} {
				figures, err := oneValue(ctx, way.addr, way.proxy, way.waits, bytes)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					into.fail(log, size(bytes)+" "+way.name, round, err)
					continue
				}
				into.measured(log, "sizes", size(bytes)+" "+way.name, round, figures)
			}
		}
	}
	return nil
}

// oneValue sets a key to a value of a size, waits for the target to have it, reads it, and deletes it.
func oneValue(ctx context.Context, addr string, proxy *child.Proxy, waits bool, bytes int) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	figures := make(map[string]float64)
	if proxy != nil {
		if err := forgetPeak(proxy.PID()); err != nil {
			return nil, err
		}
	}
	r := bufio.NewReaderSize(conn, 256<<10)
	began := time.Now()
	if err := setValue(conn, r, bytes); err != nil {
		return nil, fmt.Errorf("SET: %w", err)
	}
	figures["SET ms"] = time.Since(began).Seconds() * 1000
	if waits {
		err := proxy.Watch(ctx, askEvery, func(s status.Status) (bool, error) { return s.Phase == status.Synced && child.Settled(s), nil })
		if err != nil {
			return nil, fmt.Errorf("waiting for the target to hold it: %w", err)
		}
		figures["settled ms"] = time.Since(began).Seconds() * 1000
	}
	began = time.Now()
	if err := getValue(conn, r, bytes); err != nil {
		return nil, fmt.Errorf("GET: %w", err)
	}
	figures["GET ms"] = time.Since(began).Seconds() * 1000
	if proxy != nil {
		most, err := peak(proxy.PID())
		if err != nil {
			return nil, err
		}
		figures["peak MB"] = megabytes(most)
	}
	if _, err := io.WriteString(conn, "*2\r\n$6\r\nUNLINK\r\n$5\r\nvalue\r\n"); err != nil {
		return nil, err
	}
	return figures, readReply(r)
}

// xs is an endless stream of one letter.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// setValue writes a SET whose value is never in memory as a whole, and reads its reply.
func setValue(conn net.Conn, r *bufio.Reader, bytes int) error {
	w := bufio.NewWriterSize(conn, 256<<10)
	fmt.Fprintf(w, "*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n$%d\r\n", bytes)
	// An error of w stays: Flush returns it.
	io.CopyN(w, xs{}, int64(bytes))
	io.WriteString(w, "\r\n")
	if err := w.Flush(); err != nil {
		return err
	}
	return readReply(r)
}

// getValue asks for the value and reads it all.
func getValue(conn net.Conn, r *bufio.Reader, bytes int) error {
	if _, err := io.WriteString(conn, "*2\r\n$3\r\nGET\r\n$5\r\nvalue\r\n"); err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if line = strings.TrimSpace(line); line != "$"+strconv.Itoa(bytes) {
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	_, err = r.Discard(bytes + len("\r\n"))
	return err
}
