package load

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"tandem/test/wire"
)

// Watcher looks at the watched keys on one server, directly and all the time, and reports what can never have
// been: a counter that goes back or disappears, a list with a hole, a pair with two values, a deleted key that
// is back. Keys that are not there yet are no violation.
type Watcher struct {
	addr    string
	clients int
	stop    chan struct{}
	done    sync.WaitGroup

	mu         sync.Mutex // guards what follows
	reset      int        // raised by Reset: what was seen before does not count
	looks      int
	violations []string
}

// watchEvery is the pause between two looks: the watcher shall not be the load.
const watchEvery = 10 * time.Millisecond

// Watch begins to look at a server. Outages of the server are not its business: it connects again.
func Watch(addr string, clients int) *Watcher {
	w := &Watcher{addr: addr, clients: clients, stop: make(chan struct{})}
	w.done.Go(w.run)
	return w
}

// Reset forgets what was seen: the server is about to lose its data.
func (w *Watcher) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset++
}

// Looks is how often all keys were looked at.
func (w *Watcher) Looks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// Violations are what was wrong so far.
func (w *Watcher) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.violations...)
}

// Stop ends the watching and returns how often it looked and what was wrong.
func (w *Watcher) Stop() (looks int, violations []string) {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
	return w.Looks(), w.Violations()
}

func (w *Watcher) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var conn *wire.Conn
	seen, reset := w.forget(), 0
	for {
		select {
		case <-w.stop:
			if conn != nil {
				conn.Close()
			}
			return
		case <-tick.C:
		}
		if conn == nil {
			c, err := wire.Dial(w.addr)
			if err != nil {
				continue // the server is down: that is another's business
			}
			c.Timeout = 5 * time.Second
			conn = c
		}
		w.mu.Lock()
		now := w.reset
		w.mu.Unlock()
		if now != reset {
			seen, reset = w.forget(), now
		}
		problems, err := w.look(conn, seen)
		if err != nil {
			conn.Close()
			conn = nil
			continue
		}
		w.mu.Lock()
		w.looks++
		if w.reset == reset { // else it was looked at while the server lost its data
			w.violations = append(w.violations, problems...)
		}
		w.mu.Unlock()
	}
}

// sighting is the last that was seen of one client's keys; -1 is nothing yet.
type sighting struct {
	counters [Counters]int
	list     int
	pair     int
	tombs    []tomb
	nextTomb int // the tombs are looked at some at a time
}

// tomb is how far the life of a key that is deleted once has been seen.
type tomb uint8

const (
	unborn tomb = iota
	alive
	buried
)

// tombsPerLook is how many of a client's tombs one look covers.
const tombsPerLook = 50

func (w *Watcher) forget() []sighting {
	seen := make([]sighting, w.clients)
	for i := range seen {
		seen[i] = sighting{list: -1, pair: -1, tombs: make([]tomb, Tombs)}
		for j := range seen[i].counters {
			seen[i].counters[j] = -1
		}
	}
	return seen
}

// look asks for all clients' keys once. The three facts of a list are asked in a transaction: it grows.
func (w *Watcher) look(conn *wire.Conn, seen []sighting) (problems []string, err error) {
	for id := range seen {
		conn.Send("SELECT", strconv.Itoa(homeDB(id)))
		for i := range Counters {
			conn.Send("GET", counterKey(id, i))
		}
		conn.Send("HMGET", pairKey(id), "a", "b")
		conn.Send("MULTI")
		conn.Send("LLEN", growingKey(id))
		conn.Send("LINDEX", growingKey(id), "0")
		conn.Send("LINDEX", growingKey(id), "-1")
		conn.Send("EXEC")
		for i := range tombsPerLook {
			conn.Send("EXISTS", tombKey(id, (seen[id].nextTomb+i)%Tombs))
		}
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	next := func() (wire.Reply, error) {
		r, err := conn.Receive()
		if err == nil && r.IsErr() {
			err = fmt.Errorf("watch: %s", r.Str) // loading, for one
		}
		return r, err
	}
	for id := range seen {
		replies := make([]wire.Reply, 1+Counters+1+5+tombsPerLook)
		for i := range replies {
			if replies[i], err = next(); err != nil {
				return nil, err
			}
		}
		problems = append(problems, seen[id].judge(id, replies[1:])...)
	}
	return problems, nil
}

// judge compares one client's replies with what was seen before.
func (s *sighting) judge(id int, r []wire.Reply) (problems []string) {
	bad := func(format string, a ...any) { problems = append(problems, fmt.Sprintf(format, a...)) }
	grows := func(what string, before *int, now wire.Reply) {
		if now.Null {
			if *before >= 0 {
				bad("%s was %d and is gone", what, *before)
			}
			return
		}
		v, err := strconv.Atoi(now.Str)
		if err != nil || v < *before {
			bad("%s was %d and is %s", what, *before, now)
			return
		}
		*before = v
	}
	for i := range Counters {
		grows(counterKey(id, i), &s.counters[i], r[i])
		if v := s.counters[i]; v >= 0 && v < CounterStart {
			bad("%s is %d, it began at %d", counterKey(id, i), v, CounterStart)
		}
	}
	r = r[Counters:]
	if pair := r[0].Elems; pair[0].String() != pair[1].String() {
		bad("%s has %s and %s, always written together", pairKey(id), pair[0], pair[1])
	} else {
		grows(pairKey(id), &s.pair, pair[0])
	}
	list := r[5].Elems // of EXEC, behind +OK and three +QUEUED
	switch n := int(list[0].Int); {
	case n == 0 && s.list >= 0:
		bad("%s had %d elements and is gone", growingKey(id), s.list)
	case n > 0 && (n < s.list || n < ListStart || list[1].Str != "0" || list[2].Str != strconv.Itoa(n-1)):
		bad("%s had %d elements and has %d, from %s to %s", growingKey(id), s.list, n, list[1], list[2])
	case n > 0:
		s.list = n
	}
	for i, exists := range r[6:] {
		n := (s.nextTomb + i) % Tombs
		switch {
		case exists.Int == 1 && s.tombs[n] == buried:
			bad("%s was deleted and is back", tombKey(id, n))
		case exists.Int == 1:
			s.tombs[n] = alive
		case s.tombs[n] == alive:
			s.tombs[n] = buried
		}
	}
	s.nextTomb = (s.nextTomb + tombsPerLook) % Tombs
	return problems
}
