package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// The interleaving test decides every step itself, in one goroutine. This one leaves it to the scheduler,
// with the goroutines that the proxy has, for the race detector and for wake-ups that come too late.

// liveServer executes one command at a time.
type liveServer struct {
	sync.Mutex
	data map[string]string
}

// execute applies one command, and returns the value it leaves.
func (s *liveServer) execute(kind cmdKind, name, token string) string {
	s.Lock()
	defer s.Unlock()
	switch kind {
	case cmdSet:
		s.data[name] = token
	case cmdDel:
		delete(s.data, name)
	default:
		s.data[name] = join(s.data[name], token)
	}
	return s.data[name]
}

func (s *liveServer) get(name string) string {
	s.Lock()
	defer s.Unlock()
	return s.data[name]
}

func (s *liveServer) names() []string {
	s.Lock()
	defer s.Unlock()
	var names []string
	for n := range maps.Keys(s.data) {
		names = append(names, n)
	}
	return names
}

// queue is a FIFO that is filled with the ledger's lock held and emptied without.
type queue[T any] struct {
	sync.Mutex
	items  []T
	filled chan struct{}
}

func newQueue[T any]() *queue[T] { return &queue[T]{filled: make(chan struct{}, 1)} }

func (q *queue[T]) push(x T) {
	q.Lock()
	q.items = append(q.items, x)
	q.Unlock()
	wake(q.filled)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pop waits for the next item; false when the test ends.
func (q *queue[T]) pop(end <-chan struct{}) (x T, ok bool) {
	for {
		q.Lock()
		if len(q.items) > 0 {
			x, q.items = q.items[0], q.items[1:]
			q.Unlock()
			return x, true
		}
		q.Unlock()
		select {
		case <-q.filled:
		case <-end:
			return x, false
		}
	}
}

func (q *queue[T]) clear() {
	q.Lock()
	q.items = nil
	q.Unlock()
}

type live struct {
	*Ledger
	t         *testing.T
	primary   *liveServer
	secondary *liveServer
	lanes     []*queue[*liveWrite]
	out       *queue[func() bool]
	end       chan struct{}
	changed   []chan struct{} // one for each that waits for changes
	down      bool            // of the Sink, under the lock
}

// liveWrite is one command of a session.
type liveWrite struct {
	Write
	x           *live
	kind        cmdKind
	name, token string
	answered    chan struct{}
}

func (w *liveWrite) Granted(*Write) { w.x.lanes[w.Lane].push(w) }

func (x *live) key(name string) Key {
	return Key{Hash: x.Hash(0, []byte(name)), Name: []byte(name), Write: true}
}

// Append and AppendCopy queue what lands on the secondary.
func (x *live) Append(w *Write, e *Effect) bool {
	if x.down {
		return false
	}
	p := e.Payload.(*liveWrite)
	kind, name, token := p.kind, p.name, p.token
	x.out.push(func() bool { return x.secondary.execute(kind, name, token) != "" || kind == cmdDel })
	return true
}

func (x *live) AppendCopy(c *Copy, s *State) bool {
	if x.down {
		return false
	}
	name, value := string(c.Key.Name), s.Payload
	kind := cmdSet
	if s.Missing {
		kind = cmdDel
	}
	x.out.push(func() bool { x.secondary.execute(kind, name, value); return true })
	return true
}

// session sends commands, several at a time, and waits for the last.
func (x *live) session(lane LaneID, seed uint64, commands int) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range commands {
		kinds := []cmdKind{cmdSet, cmdDel, cmdApp, cmdApp, cmdApp}
		w := &liveWrite{
			x: x, kind: kinds[r.IntN(len(kinds))], name: fmt.Sprint("k", r.IntN(20)),
			token: fmt.Sprintf("%d.%d", seed, i), answered: make(chan struct{}),
		}
		w.Write = Write{Lane: lane, Keys: []Key{x.key(w.name)}, Waiter: w}
		x.Lock()
		if x.Acquire(&w.Write) {
			w.Granted(nil)
		}
		x.Unlock()
		<-w.answered
	}
}

// lane executes what is on it, and hands the replies to the ledger.
func (x *live) lane(q *queue[*liveWrite]) {
	for w, ok := q.pop(x.end); ok; w, ok = q.pop(x.end) {
		x.primary.execute(w.kind, w.name, w.token)
		x.Lock()
		x.Reply(&w.Write, &Effect{Payload: w, Steps: []Step{{Blind: w.kind != cmdApp}}})
		x.Unlock()
		close(w.answered)
	}
}

// lander is the connection to the secondary, which breaks now and then: what is on it then never lands.
func (x *live) lander() {
	n := 0
	for land, ok := x.out.pop(x.end); ok; land, ok = x.out.pop(x.end) {
		if n++; n%150 == 0 {
			x.Lock()
			x.down = true
			x.out.clear()
			x.SinkLost(Secondary)
			x.Unlock()
			x.Lock()
			x.down = false
			x.Wake(Secondary)
			x.Unlock()
			continue
		}
		v := Good
		if !land() {
			v = Differs
		}
		x.Lock()
		x.Acked(Secondary, v, "")
		x.Unlock()
	}
}

// copier copies dirty keys, one in two with a read that owns the stripe.
func (x *live) copier(lane LaneID, changed chan struct{}) {
	granted := make(chan struct{}, 1)
	for i := 0; ; i++ {
		x.Lock()
		d, wait := x.NextDirty(Primary, time.Now())
		if d == nil {
			x.Unlock()
			if wait == 0 {
				wait = time.Hour
			}
			select {
			case <-changed:
			case <-time.After(wait):
			case <-x.end:
				return
			}
			continue
		}
		c := Copy{Key: d.Key, Dirty: d}
		var own *Write
		if i%2 == 0 {
			own = &Write{Kind: CopyRead, Lane: lane, Keys: []Key{d.Key}, Waiter: signal(granted)}
			if !x.Acquire(own) {
				x.Unlock()
				<-granted
				x.Lock()
			}
		} else if !x.BeginCopy(&c) {
			x.Retry(d, time.Now(), 100*time.Microsecond)
			x.Unlock()
			continue
		}
		x.Unlock()
		x.copyOne(&c, own)
	}
}

type signal chan struct{}

func (s signal) Granted(*Write) { s <- struct{}{} }

func (x *live) copyOne(c *Copy, own *Write) {
	value := x.primary.get(string(c.Key.Name))
	st := State{Missing: value == "", Payload: value}
	x.Lock()
	defer x.Unlock()
	var r Result
	if own != nil {
		r = x.EndCopyRead(own, c, &st)
	} else {
		r = x.EndCopy(c, &st)
	}
	switch {
	case c.Dirty == nil && r != Won:
		x.MakeDirty(&c.Key)
	case c.Dirty == nil:
	case r == Won:
		x.Done(c.Dirty)
	default:
		x.Retry(c.Dirty, time.Now(), 100*time.Microsecond)
	}
}

// sweeper runs the owed sweeps.
func (x *live) sweeper(changed chan struct{}) {
	await := func(ready func() bool) bool {
		for {
			x.Lock()
			ok := ready()
			x.Unlock()
			if ok {
				return true
			}
			select {
			case <-changed:
			case <-x.end:
				return false
			}
		}
	}
	var gen, mark uint64
	for await(func() (owed bool) { gen, _, owed = x.SweepOwed(); return owed }) {
		for half, side := range []*liveServer{x.primary, x.secondary} {
			for _, name := range side.names() {
				c := Copy{Key: x.key(name)}
				x.Lock()
				known := x.Known(c.Key.Hash)
				if !known && !x.BeginCopy(&c) {
					known = true
					x.MakeDirty(&c.Key)
				}
				x.Unlock()
				if !known {
					x.copyOne(&c, nil)
				}
			}
			x.Lock()
			mark = x.Mark()
			x.Unlock()
			if half == 0 && !await(func() bool { return x.Quiet(mark) }) {
				return
			}
		}
		if !await(func() bool { now, _, owed := x.SweepOwed(); return !owed || now != gen || x.Swept(gen) }) {
			return
		}
	}
}

func TestConcurrent(t *testing.T) {
	const sessions, commands = 8, 1500
	x := &live{
		t: t, primary: &liveServer{data: map[string]string{}}, secondary: &liveServer{data: map[string]string{}},
		out: newQueue[func() bool](), end: make(chan struct{}),
	}
	x.Ledger = New(Options{
		Hasher: Hasher{1, 2}, MaxDirty: 12, MaxExact: 100, Now: func() int64 { return time.Now().UnixNano() },
	})
	for i := range 20 {
		x.primary.data[fmt.Sprint("k", i)] = "first"
		x.secondary.data[fmt.Sprint("old", i)] = "a key too many"
	}
	var work, clients sync.WaitGroup
	for range 3 {
		q := newQueue[*liveWrite]()
		x.AddLane(Primary)
		x.lanes = append(x.lanes, q)
		work.Go(func() { x.lane(q) })
	}
	copierLane := x.AddLane(Primary)
	for range 4 {
		x.changed = append(x.changed, make(chan struct{}, 1))
	}
	x.OnChange(func() {
		for _, c := range x.changed {
			wake(c)
		}
	})
	x.SetSink(Secondary, x)
	x.OweSweep("a test", 0)
	work.Go(x.lander)
	work.Go(func() { x.copier(copierLane, x.changed[0]) })
	work.Go(func() { x.copier(copierLane, x.changed[1]) })
	work.Go(func() { x.sweeper(x.changed[2]) })
	for i := range sessions {
		clients.Go(func() { x.session(LaneID(i%3), uint64(i), commands) })
	}
	clients.Wait()

	late := time.After(30 * time.Second)
	for drained := false; !drained; {
		x.Lock()
		drained = x.Drained()
		x.Unlock()
		if !drained {
			select {
			case <-x.changed[3]:
			case <-late:
				x.Lock()
				t.Errorf("not drained: %d dirty, %d unsettled, sweeping %v", x.DirtyKeys(), x.Unsettled(), x.Sweeping())
				x.Unlock()
				drained = true
			}
		}
	}
	close(x.end)
	work.Wait()
	if !maps.Equal(x.primary.data, x.secondary.data) {
		t.Errorf("the primary has %v\nthe secondary has %v", x.primary.data, x.secondary.data)
	}
	t.Logf("%+v", x.Stats())
}
