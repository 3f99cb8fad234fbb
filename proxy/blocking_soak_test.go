package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// jobs are elements on their way from those who push to those who pop, each with a number of its own.
type jobs struct {
	*soak
	next   atomic.Int64
	popped [1 << 16]atomic.Int32
	gone   sync.Map // numbers that may have been given to a client that was killed
	killed atomic.Int64
}

// Clients push and wait in all ways, on few keys; some are killed while they wait, some are unblocked by others;
// the roles change, lanes break. Every element is popped once, or is still there, or went to a client that was killed
// at that moment, and there are no more of those than kills. In the end both servers hold the same.
func TestEveryElementIsPoppedOnce(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		if b.Name == "valkey-9.1" {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			j := &jobs{soak: newSoak(t, redisd.Options{Binary: b.Path})}
			j.work(2 * time.Second)
		})
	}
}

func (j *jobs) work(length time.Duration) {
	t := j.t
	setup := j.client()
	for _, s := range []string{"s0", "s1"} {
		setup.expect("XGROUP CREATE "+s+" g 0 MKSTREAM", "+OK")
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var pushers, poppers sync.WaitGroup
	for i := range 4 {
		pushers.Go(func() { j.push(ctx, rand.New(rand.NewPCG(j.seed, uint64(i)))) })
	}
	rest := make(chan struct{}) // the pushers are done
	for i := range 16 {
		poppers.Go(func() { j.pop(rest, rand.New(rand.NewPCG(j.seed, uint64(100+i)))) })
	}
	var troubles sync.WaitGroup
	rnd := rand.New(rand.NewPCG(j.seed, 99))
	troubles.Go(func() {
		for ctx.Err() == nil {
			switch rnd.IntN(4) {
			case 0:
				j.swapRoles()
			case 1: // a hold that comes to nothing
				j.shard.Hold()
				hold, done := context.WithTimeout(ctx, 20*time.Millisecond)
				_ = j.shard.Await(hold, j.shard.Answered)
				done()
				j.shard.Release()
			case 2:
				j.unblockSomeone(rnd)
			case 3:
				if rnd.IntN(4) == 0 {
					j.breakLane(rnd)
				}
			}
			j.rest(rnd)
		}
	})
	pushers.Wait()
	troubles.Wait()
	close(rest)
	poppers.Wait()
	j.atRest()
	j.link.stop()
	j.sameSoon()
	for _, s := range []string{"s0", "s1"} {
		j.sameGroups(s)
	}
	j.account()
}

var queues = []string{"q0", "q1", "q2"}

// push adds elements until the time is over.
func (j *jobs) push(ctx context.Context, rnd *rand.Rand) {
	c := j.client()
	for ctx.Err() == nil {
		n := j.next.Add(1)
		q := queues[rnd.IntN(len(queues))]
		var command string
		switch rnd.IntN(7) {
		case 0:
			command = fmt.Sprintf("LPUSH %s %d", q, n)
		case 1, 2:
			command = fmt.Sprintf("RPUSH %s %d", q, n)
		case 3:
			command = fmt.Sprintf("ZADD z 1 %d", n)
		case 4, 5:
			command = fmt.Sprintf("XADD s%d * n %d", rnd.IntN(2), n)
		case 6:
			if v := c.transaction(fmt.Sprintf("RPUSH %s %d", q, n)); v == nil {
				j.gone.Store(n, true)
				j.killed.Add(1)
				c = j.client()
			}
			continue
		}
		c.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
		if _, err := c.value(); err != nil { // the lane broke: it may be there or not
			j.gone.Store(n, true)
			j.killed.Add(1)
			c = j.client()
		}
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
		}
	}
}

// transaction executes a command in MULTI; nil if the connection ended.
func (w *wire) transaction(command string) *resp.Value {
	w.send("MULTI\r\n" + string(resp.AppendCommand(nil, strings.Fields(command)...)) + "EXEC\r\n")
	var last resp.Value
	for range 3 {
		v, err := w.value()
		if err != nil {
			return nil
		}
		last = v
	}
	return &last
}

// pop waits for elements until nothing comes any more after rest.
func (j *jobs) pop(rest <-chan struct{}, rnd *rand.Rand) {
	c := j.client()
	name := fmt.Sprint("c", rnd.IntN(1000))
	for {
		timeout := []string{"0.05", "0.3", "1"}[rnd.IntN(3)]
		if strings.HasPrefix(j.source.Name, "redis-6.0") && timeout == "0.05" {
			timeout = "0.1"
		}
		q := queues[rnd.IntN(len(queues))]
		other := queues[rnd.IntN(len(queues))]
		ms := fmt.Sprint(rnd.IntN(1000) + 1)
		command := []string{
			"BLPOP " + q + " " + timeout, "BRPOP " + q + " " + other + " " + timeout, "BRPOPLPUSH " + q + " done 1",
			"BZPOPMIN z " + timeout, "BZPOPMAX other z " + timeout,
			"XREADGROUP GROUP g " + name + " COUNT 1 BLOCK " + ms + " STREAMS s0 >",
			"XREADGROUP GROUP g " + name + " COUNT 2 BLOCK " + ms + " STREAMS s1 >",
			"XREADGROUP GROUP g " + name + " COUNT 1 BLOCK " + ms + " STREAMS s0 s1 > >",
		}[rnd.IntN(8)]
		c.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
		if rnd.IntN(20) == 0 {
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
			_ = c.Close() // killed while it waits, or while it is served
			j.killed.Add(1)
			c = j.client()
			continue
		}
		v, err := c.value()
		if err != nil {
			j.killed.Add(1)
			c = j.client()
			continue
		}
		if !j.took(v) {
			select {
			case <-rest:
				return
			default:
			}
		}
	}
}

// took counts the elements in a reply, and reports whether there were any.
func (j *jobs) took(v resp.Value) bool {
	if v.IsError() {
		if text := string(v.Str); !strings.HasPrefix(text, "UNBLOCKED client unblocked via") {
			j.t.Error(text)
		}
		return false
	}
	var n int64
	switch {
	case len(v.Elems) == 0 && len(v.Str) > 0: // moved
		_, _ = fmt.Sscan(string(v.Str), &n)
	case len(v.Elems) >= 2 && len(v.Elems[1].Str) > 0: // [key, element] or [key, member, score]
		_, _ = fmt.Sscan(string(v.Elems[1].Str), &n)
	case len(v.Elems) > 0: // streams
		for _, s := range v.Elems {
			for _, e := range s.Elems[1].Elems {
				_, _ = fmt.Sscan(string(e.Elems[1].Elems[1].Str), &n)
				j.popped[n].Add(1)
			}
		}
		return true
	}
	if n > 0 {
		j.popped[n].Add(1)
	}
	return n > 0
}

// unblockSomeone asks for the end of what a client blocks with, whoever it is.
func (j *jobs) unblockSomeone(rnd *rand.Rand) {
	all := j.server.all()
	s := all[rnd.IntN(len(all))]
	how := []string{"TIMEOUT", "ERROR"}[rnd.IntN(2)]
	if _, err := j.shard.unblock(s, how); err != nil {
		j.t.Log(err)
	}
}

// breakLane kills a connection on which something blocks.
func (j *jobs) breakLane(rnd *rand.Rand) {
	j.shard.lock()
	var blocked []*lane
	for ln := range j.shard.primary.pinned {
		if ln.blocks() != nil {
			blocked = append(blocked, ln)
		}
	}
	if len(blocked) > 0 {
		_ = blocked[rnd.IntN(len(blocked))].conn.Close()
	}
	j.shard.unlock()
}

// account looks where every element is.
func (j *jobs) account() {
	t := j.t
	there := map[int64]int{}
	inst := map[*instance.Instance]string{j.src: j.source.Addr, j.tgt: j.target.Addr}
	w := dial(t, inst[j.primary])
	add := func(all []string) {
		for _, x := range all {
			var n int64
			_, _ = fmt.Sscan(x, &n)
			there[n]++
		}
	}
	for _, q := range queues {
		add(texts(w.ask("LRANGE", q, "0", "-1")))
	}
	add(texts(w.ask("ZRANGE", "z", "0", "-1")))
	moved := map[int64]bool{}
	for _, x := range texts(w.ask("LRANGE", "done", "0", "-1")) {
		var n int64
		_, _ = fmt.Sscan(x, &n)
		moved[n] = true
	}
	delivered := map[string]bool{} // to somebody
	entries := map[string]int64{}
	for _, s := range []string{"s0", "s1"} {
		for _, e := range w.ask("XPENDING", s, "g", "-", "+", "100000").Elems {
			delivered[s+string(e.Elems[0].Str)] = true
		}
		for _, e := range w.ask("XRANGE", s, "-", "+").Elems {
			var n int64
			_, _ = fmt.Sscan(string(e.Elems[1].Elems[1].Str), &n)
			entries[s+string(e.Elems[0].Str)] = n
		}
	}
	for id, n := range entries {
		if !delivered[id] {
			there[n]++
		} else if j.popped[n].Load() == 0 {
			moved[n] = true // to a client that was killed
		}
	}
	lost, pushed := 0, j.next.Load()
	for n := int64(1); n <= pushed; n++ {
		_, unsure := j.gone.Load(n)
		switch times := int(j.popped[n].Load()) + there[n]; {
		case times > 1:
			t.Errorf("element %d was popped %d times and is there %d times", n, j.popped[n].Load(), there[n])
		case times == 0 && !unsure && !moved[n]:
			lost++
		}
	}
	if int64(lost) > j.killed.Load() {
		t.Errorf("%d elements were lost with %d clients", lost, j.killed.Load())
	}
	t.Logf("%d pushed, %d left, %d lost with %d killed clients, %d swaps, %d undone, %+v", pushed, len(there), lost, j.killed.Load(),
		j.done.swaps, j.done.undone, j.shard.ledger.Stats())
}
