package test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/program"
	"tandem/test/wire"
)

// twoWayLoad are clients on both sides that raise the same counters and move elements through the same queue, in pipelines, as
// fast as they are answered.
type twoWayLoad struct {
	t      *testing.T
	doors  [2]string
	stop   chan struct{}
	work   sync.WaitGroup
	halt   atomic.Bool     // nothing new is sent
	raised [2]atomic.Int64 // increments that were answered, by side
	lost   atomic.Int64    // increments whose outcome is not known
	pushed atomic.Int64    // elements, those of unknown outcome too
	mu     sync.Mutex
	taken  map[string]int
}

const (
	twoWayCounters = 3
	twoWayPipeline = 30
)

func (l *twoWayLoad) begin() {
	for side := range 2 {
		for range 2 {
			l.work.Go(func() { l.raise(side) })
		}
		l.work.Go(func() { l.push(side) })
		for range 2 {
			l.work.Go(func() { l.take(side) })
		}
	}
}

// stopped reports whether the load is over.
func (l *twoWayLoad) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// connected calls do on one connection after the other, until it says that it has done.
func (l *twoWayLoad) connected(side int, do func(c *wire.Conn) error) {
	for !l.stopped() && !l.halt.Load() {
		c, err := wire.Dial(l.doors[side])
		if err != nil {
			continue // the program is being started again
		}
		c.Timeout = 10 * time.Second
		for err == nil && !l.stopped() && !l.halt.Load() {
			err = do(c)
		}
		c.Close()
	}
}

func (l *twoWayLoad) raise(side int) {
	commands := make([][]string, twoWayPipeline)
	for i := range commands {
		commands[i] = []string{"INCR", "counter:" + strconv.Itoa(i%twoWayCounters)}
	}
	l.connected(side, func(c *wire.Conn) error {
		replies, err := c.DoMany(commands)
		answered := 0
		for _, r := range replies {
			if r.Kind == ':' {
				answered++
			}
		}
		l.raised[side].Add(int64(answered))
		if err != nil {
			l.lost.Add(int64(len(commands) - answered))
		}
		return err
	})
}

func (l *twoWayLoad) push(side int) {
	l.connected(side, func(c *wire.Conn) error {
		_, err := c.Do("RPUSH", "queue", fmt.Sprintf("%d-%d", side, l.pushed.Add(1)))
		return err
	})
}

// take takes until there is nothing for a while.
func (l *twoWayLoad) take(side int) {
	l.connected(side, func(c *wire.Conn) error {
		r, err := c.Do("BLPOP", "queue", "0.2")
		if err == nil && len(r.Elems) == 2 {
			l.mu.Lock()
			l.taken[r.Elems[1].Str]++
			l.mu.Unlock()
		}
		return err
	})
}

// busy waits until both sides have done some more.
func (l *twoWayLoad) busy(td *program.Tandem, more int64) {
	l.t.Helper()
	a, b := l.raised[0].Load(), l.raised[1].Load()
	td.Until("load on both sides", 60*time.Second, func() bool { return l.raised[0].Load() >= a+more && l.raised[1].Load() >= b+more })
}

// Both sides write the same keys at full speed. What was acknowledged is counted once, what was pushed is taken once, and both
// servers are equal at rest, though the program is killed in the middle.
func TestTwoWayAtFullSpeed(t *testing.T) {
	t.Parallel()
	source, target := redisdtest.Start(t, redisd.Options{Save: true}), redisdtest.Start(t, redisd.Options{Save: true})
	listenTarget := program.FreeAddr(t)
	td := program.Prepare(t, source.URL(), target.URL(), "listen_target: "+listenTarget)
	td.Start()
	twoWay := func() {
		td.WaitStatus("clients on both servers", time.Minute, func(s program.Status) bool { return s.Phase == "two_way" })
	}
	twoWay()
	l := &twoWayLoad{t: t, doors: [2]string{td.Addr, listenTarget}, stop: make(chan struct{}), taken: map[string]int{}}
	began := time.Now()
	l.begin()
	l.busy(td, int64(sized(20_000)))
	t.Logf("%d increments on one side and %d on the other in %v", l.raised[0].Load(), l.raised[1].Load(), time.Since(began).Round(time.Millisecond))
	// Nothing has failed so far: the counters are exact.
	l.halt.Store(true)
	l.work.Wait()
	td.WaitSettled()
	l.check(source, target, l.lost.Load() > 0)

	l.halt.Store(false)
	l.begin()
	l.busy(td, 500)
	td.Signal(syscall.SIGKILL)
	td.Start()
	twoWay()
	l.busy(td, 500)
	close(l.stop)
	l.work.Wait()
	td.WaitSettled()
	l.check(source, target, true)
}

// check compares both servers with each other, and with what clients know. failed: some do not know all.
func (l *twoWayLoad) check(source, target *redisd.Server, failed bool) {
	t := l.t
	t.Helper()
	result, err := keyspace.Compare(source.Addr, target.Addr, keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Differences) > 0 {
		t.Errorf("source (first) and target (second): %s", result)
	}
	total := int64(0)
	for k := range twoWayCounters {
		r, err := wire.Once(target.Addr, "GET", "counter:"+strconv.Itoa(k))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.ParseInt(r.Str, 10, 64)
		total += n
	}
	answered := l.raised[0].Load() + l.raised[1].Load()
	switch {
	case !failed && total != answered:
		t.Errorf("the counters come to %d, and %d increments were answered", total, answered)
	case total < answered || total > answered+l.lost.Load():
		t.Errorf("the counters come to %d, %d increments were answered, and of %d nobody knows", total, answered, l.lost.Load())
	}
	left, err := wire.Once(target.Addr, "LRANGE", "queue", "0", "-1")
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]int{}
	for v, n := range l.taken {
		seen[v] += n
	}
	for _, v := range left.Strings() {
		seen[v]++
	}
	for v, n := range seen {
		if n > 1 {
			t.Errorf("%s was taken %d times, or is still there", v, n)
		}
	}
	if missing := l.pushed.Load() - int64(len(seen)); !failed && missing != 0 {
		t.Errorf("%d elements are nowhere", missing)
	}
}
