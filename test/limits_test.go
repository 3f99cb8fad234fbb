package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/test/program"
	"tandem/test/wire"
)

// metricOf reads one value of the program's metrics; 0 where it is not there.
func metricOf(t *testing.T, td *program.Tandem, name string) float64 {
	t.Helper()
	_, body, err := td.Get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return n
		}
	}
	return 0
}

// The worst that clients can do, all at once: what the process needs stays below what docs/reliability.md adds up for
// these settings, those who occupy most are closed, and one who behaves is served all the time.
func TestAHostileCrowdIsBounded(t *testing.T) {
	const (
		mib    = 1 << 20
		memory = 48 * mib // clients.memory_bytes
		silent = 500
		half   = 300
	)
	w := newWorld(t, worldOptions{keys: sized(10000), settings: []string{
		"clients: {max: 3000, memory_bytes: 48MiB, output_limit_bytes: 40MiB, max_bulk_bytes: 40MiB}",
		"max_lag_bytes: 8MiB", "max_dirty_keys: 100000", "exact_keys: 100000", "memory_limit_bytes: 128MiB",
	}})
	w.td.Step("start")
	w.td.WaitSynced()
	good := dial(t, w.td.Addr)
	value := strings.Repeat("v", 8*mib)
	if _, err := good.Do("SET", "large", value); err != nil {
		t.Fatal(err)
	}
	before := w.td.Peak()
	mustServe := func() {
		t.Helper()
		for i := range 20 {
			if _, err := good.Do("SET", "good", fmt.Sprint(i)); err != nil {
				t.Fatalf("one who behaves: %v", err)
			}
		}
	}
	connect := func() net.Conn {
		c, err := net.Dial("tcp", w.td.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	send := func(b []byte) net.Conn {
		c := connect()
		go func() { _, _ = c.Write(b) }() // closed at the end, or by the other side
		return c
	}

	// Clients that say nothing, and clients that stop in the middle of a command.
	for range silent {
		connect()
	}
	for range half {
		send(append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$30000\r\n"), bytes.Repeat([]byte("x"), 20000)...))
	}
	w.td.Until("all of it is here", 20*time.Second, func() bool {
		return w.td.Status().Sessions >= silent+half && metricOf(t, w.td, "tandem_sessions_held_bytes") >= half*20000
	})
	mustServe()
	calm := w.td.Peak()
	t.Logf("%d silent clients and %d half-sent commands: %d MiB, %d before", silent, half, calm>>20, before>>20)

	// Readers that do not read, values that do not end, transactions that are never executed; and the secondary stands.
	if err := w.target.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		send(bytes.Repeat(wire.AppendCommand(nil, "GET", "large"), 4))
		send(append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$41943040\r\n"), bytes.Repeat([]byte("x"), 30*mib)...))
		transaction := wire.AppendCommand(nil, "MULTI")
		for range 30 {
			transaction = append(transaction, wire.AppendCommand(nil, "SET", "k", value[:mib])...)
		}
		c := connect()
		go func() { _, _ = io.Copy(io.Discard, c) }()
		go func() {
			// MULTI alone first, so that it is not taken for a transaction that came whole.
			for rest := transaction; len(rest) > 0; {
				n, err := c.Write(rest[:min(len(rest), 64<<10)])
				if err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
	}
	w.td.Until("those who occupy most are closed", 30*time.Second, func() bool {
		mustServe()
		return metricOf(t, w.td, `tandem_sessions_closed_total{reason="memory_limit"}`) >= 3
	})
	for i := range 24 { // effects that nobody takes
		if _, err := good.Do("SET", fmt.Sprint("effect:", i), value[:mib/2]); err != nil {
			t.Fatal(err)
		}
	}
	s := w.td.Status()
	if s.LagBytes > 8*mib || s.Effects.Dropped == 0 {
		t.Errorf("%d bytes of effects wait, %d effects were dropped", s.LagBytes, s.Effects.Dropped)
	}
	if held := metricOf(t, w.td, "tandem_sessions_held_bytes"); held > memory {
		t.Errorf("clients occupy %.0f MiB", held/mib)
	}
	if n := w.td.Status().Sessions; n < silent+half {
		t.Errorf("%d clients are left: others than those who occupied most were closed", n)
	}
	// The sum of docs/reliability.md: the process, exact and dirty keys, effects, copies, clients, idle clients, one lane;
	// and what the collector lets grow besides.
	sum := int64(20*mib + 100_000*(32+270) + 8*mib + 16*mib + memory + 3000*16<<10 + 64*mib + 40*mib + 16*mib)
	peak := w.td.Peak()
	t.Logf("at most %d MiB; the sum of all limits is %d MiB", peak>>20, sum>>20)
	if peak > sum+sum/2 {
		t.Errorf("%d MiB are more than the limits allow", peak>>20)
	}
	if err := w.target.Continue(); err != nil {
		t.Fatal(err)
	}
	mustServe()
}
