package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tandem/internal/redisd"
)

// The two ways in which an application has two servers hold the same: it writes to one and then to the other, and goes
// on when both have answered; or it writes to tandem. The same program does both, for redis-benchmark cannot do the first.
const (
	throughTandem = "application, tandem"
	toBoth        = "application, both"
)

// naive is an application that writes to both servers itself, and beside it the same one that writes to a tandem in front
// of another such pair.
func (f *fleet) naive(ctx context.Context, source, target *redisd.Server) ([]*arrangement, error) {
	synced, err := f.synced(ctx, source, target)
	if err != nil {
		return nil, err
	}
	synced.name = throughTandem
	synced.client = func(ctx context.Context, w workload) (clientRun, error) {
		return runApplication(ctx, []string{synced.addr}, w)
	}
	first, second, err := f.pair()
	if err != nil {
		return nil, err
	}
	both := &arrangement{
		name: toBoth, addr: first.Addr, behind: first,
		pids: map[string]int{"source": first.PID(), "target": second.PID()},
		client: func(ctx context.Context, w workload) (clientRun, error) {
			return runApplication(ctx, []string{first.Addr, second.Addr}, w)
		},
	}
	return []*arrangement{synced, both}, nil
}

const (
	// Latencies are counted from 1 µs to a minute, to three digits.
	shortest, longest, digits = 1, 60_000_000, 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record counts a latency. What is out of bounds counts as the bound.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d.Microseconds(), shortest), longest)) // it fails only out of bounds
}

// runApplication has clients write as many SETs as the workload has, each pipeline to every server in turn, and each
// client waiting for the replies of one before it writes to the next. A latency is of a pipeline, written everywhere.
func runApplication(ctx context.Context, servers []string, w workload) (clientRun, error) {
	before := ownCPU()
	all, left := newHistogram(), new(atomic.Int64)
	left.Store(int64(w.Requests))
	var mu sync.Mutex
	clients, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range w.Clients {
		clients.Go(func() error {
			mine, err := applicationClient(ctx, servers, w, uint64(i), left)
			if err != nil {
				return fmt.Errorf("application, %s: %w", w, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(mine)
			return nil
		})
	}
	if err := clients.Wait(); err != nil {
		return clientRun{}, err
	}
	took := time.Since(began)
	quantile := func(percent float64) float64 { return float64(all.ValueAtQuantile(percent)) / 1000 }
	return clientRun{
		RPS: float64(w.Requests) / took.Seconds(), P50: quantile(50), P99: quantile(99), CPU: ownCPU() - before,
	}, nil
}

// applicationClient is one client, with a connection to each server, until nothing is left to be written.
func applicationClient(ctx context.Context, servers []string, w workload, seed uint64, left *atomic.Int64) (*hdrhistogram.Histogram, error) {
	conns := make([]net.Conn, len(servers))
	replies := make([]*bufio.Reader, len(servers))
	for i, addr := range servers {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		conns[i], replies[i] = conn, bufio.NewReaderSize(conn, 4<<10)
	}
	random, h := rand.New(rand.NewPCG(seed, 1)), newHistogram()
	value := make([]byte, w.Value)
	for i := range value {
		value[i] = 'x'
	}
	var request []byte
	for {
		batch := min(w.Pipeline, int(left.Add(int64(-w.Pipeline)))+w.Pipeline)
		if batch <= 0 {
			return h, nil
		}
		request = request[:0]
		for range batch {
			request = appendSet(request, random.IntN(w.Keyspace), value)
		}
		began := time.Now()
		for i, conn := range conns {
			if _, err := conn.Write(request); err != nil {
				return nil, err
			}
			for range batch {
				if err := readReply(replies[i]); err != nil {
					return nil, err
				}
			}
		}
		record(h, time.Since(began))
	}
}

// appendSet appends a SET of one of the keys that redis-benchmark and fill use.
func appendSet(to []byte, key int, value []byte) []byte {
	to = fmt.Appendf(to, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n", key, len(value))
	return append(append(to, value...), "\r\n"...)
}

// appendGet appends a GET of one of them.
func appendGet(to []byte, key int) []byte {
	return fmt.Appendf(to, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012d\r\n", key)
}

// readReply reads the reply of a SET or a GET, and fails on an error reply.
func readReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	switch line[0] {
	case '+', ':':
		return nil
	case '$':
		length := 0
		for _, digit := range line[1 : len(line)-2] {
			if digit == '-' {
				return nil // no such key
			}
			length = 10*length + int(digit-'0')
		}
		_, err = r.Discard(length + 2)
		return err
	}
	return fmt.Errorf("unexpected reply %q", line)
}

// ownCPU is the CPU time that this process has used: of a generator that is part of it.
func ownCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0 // it fails only for a bad address
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
