package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// openLoop sends requests when they are due, whether or not earlier ones have been answered, as many independent clients
// do. A client that waits for each reply sends less while the server is slow, and so never sees what others would.
type openLoop struct {
	addr     string
	conns    int
	rate     float64 // requests per second, of all connections together
	length   time.Duration
	value    int
	keyspace int
	// started is called when the schedule begins; nil for nothing.
	started func()
}

const (
	// unanswered is how many requests may be on the way on one connection before the next one waits, which then counts
	// as its latency.
	unanswered = 8192
	// overtime is how long the replies may take after the last request.
	overtime = 30 * time.Second
	// warmUp is the share of a schedule that does not count.
	warmUp = 0.1
)

// timed is what an open loop found.
type timed struct {
	latency *hdrhistogram.Histogram // of each request, in µs, from when it was due
	late    *hdrhistogram.Histogram // how long after that it was sent, in µs
}

// run sends SETs and GETs by turns. Each latency counts from when its request was due; those of the first tenth of the
// schedule are left out.
func (o openLoop) run(ctx context.Context) (timed, error) {
	ctx, cancel := context.WithTimeout(ctx, o.length+overtime)
	defer cancel()
	requests := int(o.rate * o.length.Seconds())
	if requests < o.conns {
		return timed{}, fmt.Errorf("%d requests are not enough for %d connections", requests, o.conns)
	}
	conns, due := make([]net.Conn, o.conns), make([]chan time.Time, o.conns)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.addr)
		if err != nil {
			return timed{}, fmt.Errorf("open loop: %w", err)
		}
		defer conn.Close()
		conns[i], due[i] = conn, make(chan time.Time, unanswered)
	}
	defer context.AfterFunc(ctx, func() {
		for _, conn := range conns {
			conn.Close()
		}
	})()
	found := timed{latency: newHistogram(), late: newHistogram()}
	var mu sync.Mutex
	clients, failed := errgroup.WithContext(ctx)
	begin := time.Now().Add(10 * time.Millisecond)
	counts := begin.Add(time.Duration(warmUp * float64(o.length)))
	for i, conn := range conns {
		expected := requests / o.conns
		if i < requests%o.conns {
			expected++
		}
		clients.Go(func() error {
			h, err := receive(conn, due[i], expected, counts)
			mu.Lock()
			defer mu.Unlock()
			found.latency.Merge(h)
			return err
		})
	}
	if o.started != nil {
		o.started()
	}
	clients.Go(func() error { return o.send(failed, conns, due, requests, begin, counts, found.late) })
	if err := clients.Wait(); err != nil {
		return timed{}, fmt.Errorf("open loop at %.0f requests/s: %w", o.rate, errors.Join(context.Cause(ctx), err))
	}
	return found, nil
}

// send sends each request when it is due, on the connections in turn. It has a thread of its own: a goroutine is woken
// tens of microseconds late, a thread a few.
func (o openLoop) send(ctx context.Context, conns []net.Conn, due []chan time.Time, requests int, begin, counts time.Time, late *hdrhistogram.Histogram) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer sharpen()()
	random, value := rand.New(rand.NewPCG(1, 2)), make([]byte, o.value)
	for i := range value {
		value[i] = 'x'
	}
	var request []byte
	for n := range requests {
		at := begin.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		key, conn := random.IntN(o.keyspace), n%len(conns)
		if (n+n/len(conns))%2 == 0 {
			request = appendSet(request[:0], key, value)
		} else {
			request = appendGet(request[:0], key)
		}
		waitUntil(at)
		select {
		case due[conn] <- at: // before it is sent, for the reply may be there at once
		case <-ctx.Done():
			return ctx.Err()
		}
		if at.After(counts) {
			record(late, time.Since(at))
		}
		if _, err := conns[conn].Write(request); err != nil {
			return err
		}
	}
	return nil
}

// receive reads as many replies as are expected, and times those of requests that were due after counts.
func receive(conn net.Conn, due <-chan time.Time, expected int, counts time.Time) (*hdrhistogram.Histogram, error) {
	h, r := newHistogram(), bufio.NewReaderSize(conn, 4<<10)
	for range expected {
		if err := readReply(r); err != nil {
			return h, err
		}
		now := time.Now()
		if at := <-due; at.After(counts) {
			record(h, now.Sub(at))
		}
	}
	return h, nil
}
