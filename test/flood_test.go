package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// connect opens a connection that the test keeps open, and says something first.
func connect(t *testing.T, addr, first string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	if first != "" {
		_, err = io.WriteString(c, first)
		must(t, err)
	}
	return c
}

// serving has one client that behaves run commands until stop is called, which returns how long each took.
func serving(t *testing.T, addr string) (stop func() []time.Duration) {
	t.Helper()
	good := dial(t, addr)
	var took []time.Duration
	var work sync.WaitGroup
	var end atomic.Bool
	work.Go(func() {
		for i := 0; !end.Load(); i++ {
			began := time.Now()
			if r, err := good.Do("SET", "good", fmt.Sprint(i)); err != nil || r.IsErr() {
				t.Errorf("one who behaves: %v %s", err, r)
				return
			}
			took = append(took, time.Since(began))
		}
	})
	return func() []time.Duration {
		end.Store(true)
		work.Wait()
		slices.Sort(took)
		return took
	}
}

// Connections that come and go as fast as they can, that come and say nothing, and that send a byte now and then: who is
// connected is served, in a time that hardly grows, and when they are gone nothing of them is left.
func TestAFloodOfConnections(t *testing.T) {
	td := program.Serve(t, redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{}), "clients: {max: 2000}")
	td.WaitSynced()
	warm := func() {
		var work sync.WaitGroup
		for range 50 {
			work.Go(func() { dial(t, td.Addr).Close() })
		}
		work.Wait()
		td.Until("they are gone", 20*time.Second, func() bool { return td.Status().Sessions == 0 })
	}
	warm()
	files, routines := metricOf(t, td, "process_open_fds"), metricOf(t, td, "go_goroutines")

	stop := serving(t, td.Addr)
	var silent []net.Conn
	for i := range 1000 {
		silent = append(silent, connect(t, td.Addr, []string{"", "*", "*2\r\n$3\r\nGE"}[i%3]))
	}
	length := sized(20_000) // connections that come and go, 2,000 in a quick run
	began := time.Now()
	var flood sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(length))
	for range 8 {
		flood.Go(func() {
			for left.Add(-1) >= 0 {
				c, err := net.Dial("tcp", td.Addr)
				if err != nil {
					continue // the queue of the listener is full, say
				}
				_, _ = io.WriteString(c, "PI") // and it goes in the middle of a word
				c.Close()
			}
		})
	}
	flood.Wait()
	for i, c := range silent {
		_, _ = c.Write([]byte("*2\r\n"[i%4 : i%4+1]))
	}
	rate := float64(length) / time.Since(began).Seconds()
	took := stop()
	t.Logf("%d connections, %.0f a second, beside 1,000 that say nothing: %d commands of another client, p50 %v, p99 %v, at most %v",
		length, rate, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if worst := took[len(took)-1]; worst > 2*time.Second {
		t.Errorf("a command took %v", worst)
	}
	for _, c := range silent {
		c.Close()
	}
	defer func() {
		t.Logf("files %.0f, then %.0f; goroutines %.0f, then %.0f", files, metricOf(t, td, "process_open_fds"), routines, metricOf(t, td, "go_goroutines"))
	}()
	td.Until("all is as before", 20*time.Second, func() bool {
		return td.Status().Sessions <= 1 && metricOf(t, td, "process_open_fds") <= files+3 && metricOf(t, td, "go_goroutines") <= routines+5
	})
}

// Too few file descriptors for a crowd: it is turned away while there are enough left for what keeps the servers equal. A
// connection to the secondary that breaks comes back, and a cutover and what it writes down come about.
func TestACrowdLeavesFileDescriptorsForTheRest(t *testing.T) {
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	relay := redisdtest.StartRelay(t, target.Addr)
	td := program.Prepare(t, source.URL(), "redis://"+relay.Addr)
	td.Files = 200
	td.Start()
	td.WaitSynced()
	if !strings.Contains(td.Logged(), "too few files for clients.max") {
		t.Errorf("it says nothing of clients.max:\n%s", td.Logged())
	}
	good := dial(t, td.Addr)
	set := func() {
		t.Helper()
		if r, err := good.Do("INCR", "good"); err != nil || r.IsErr() {
			t.Fatalf("one who was there before: %v %s", err, r)
		}
	}
	// Each of them wants a connection of its own to the primary as well.
	var crowd []net.Conn
	turned := 0
	for range 400 {
		c := connect(t, td.Addr, "MULTI\r\n")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer := make([]byte, 256)
		n, err := c.Read(answer)
		switch {
		case err != nil:
			t.Fatalf("neither served nor turned away: %v", err)
		case bytes.HasPrefix(answer[:n], []byte("-ERR max number of clients")), bytes.Contains(answer[:n], []byte("LimitNOFILE")):
			turned++
		}
		crowd = append(crowd, c)
	}
	if turned < 200 || turned == 400 {
		t.Errorf("%d of 400 were turned away", turned)
	}
	set()
	relay.Cut()
	set()
	td.Until("the loss is noticed", 20*time.Second, func() bool { return strings.Contains(td.Logged(), "effect lane lost") })
	td.WaitStatus("the secondary is back", program.SyncTime(), func(s program.Status) bool { return s.Target.Connected && s.DirtyKeys == 0 })
	td.SwitchOver("cutover")
	set()
	if files := metricOf(t, td, "process_open_fds"); files > 190 {
		t.Errorf("%.0f of 200 file descriptors are in use", files)
	}
	for _, c := range crowd {
		c.Close()
	}
	td.Until("who comes is served again", 20*time.Second, func() bool {
		c := connect(t, td.Addr, "MULTI\r\n")
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer := make([]byte, 5)
		_, err := io.ReadFull(c, answer)
		return err == nil && string(answer) == "+OK\r\n"
	})
	set()
	td.SwitchOver("rollback")
	set()
	if log := td.Logged(); strings.Count(log, "clients are turned away") > 2 || strings.Count(log, "no connection of its own") > 2 {
		t.Errorf("it says so for each of them:\n%s", program.Last(log, 3000))
	}
}

// None left at all, for whatever reason: who is connected goes on, and who comes waits until there are some again. It is
// said once, and nothing ends.
func TestNoFileDescriptorForAClient(t *testing.T) {
	td := program.Serve(t, redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{}))
	td.WaitSynced()
	limit := func(n uint64) {
		t.Helper()
		must(t, unix.Prlimit(td.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 20_000}, nil))
	}
	good := dial(t, td.Addr)
	if _, err := good.Do("PING"); err != nil {
		t.Fatal(err)
	}
	limit(4)
	var waiting []net.Conn
	for range 20 {
		waiting = append(waiting, connect(t, td.Addr, "PING\r\n"))
	}
	td.Until("it says so", 20*time.Second, func() bool { return strings.Contains(td.Logged(), "cannot accept a client") })
	for i := range 1000 {
		if r, err := good.Do("SET", "good", fmt.Sprint(i)); err != nil || r.IsErr() {
			t.Fatalf("one who was there before: %v %s", err, r)
		}
	}
	limit(20_000)
	for _, c := range waiting {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer := make([]byte, 7)
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "+PONG\r\n" {
			t.Errorf("%q %v", answer, err)
		}
	}
	if n := strings.Count(td.Logged(), "cannot accept a client"); n != 1 || !strings.Contains(td.Logged(), "clients are accepted again") {
		t.Errorf("it was said %d times:\n%s", n, program.Last(td.Logged(), 2000))
	}
}
