package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// direct are clients that write to the source itself, past the program, in the first half of a campaign, and others that
// write to the same keys through it all the time. Reports of what they write are a net, with known holes; what must hold
// is that no write is lost on the source while both write, and that both servers hold the same when those who
// bypassed the program have gone and it has compared all keys, which a cutover waits for.
type direct struct {
	source string        // address
	over   chan struct{} // closed when nobody may write directly any more
	gone   sync.WaitGroup

	mu     sync.Mutex
	pushed map[string]outcome // by token
	past   tally              // of those who bypass the program
	own    tally              // of the others
	counts [2]int             // increments that were done, and of unknown outcome
}

const (
	directLoad    = 3 // of each kind
	directLists   = 4
	directCounter = "direct:counter"
)

// newDirect is for a source at that address.
func newDirect(source string) *direct {
	return &direct{source: source, over: make(chan struct{}), pushed: map[string]outcome{}}
}

func (d *direct) name() string { return "direct" }

func (d *direct) prepare(string) error { return nil }

func (d *direct) clients() (all []func(*client)) {
	for i := range directLoad {
		d.gone.Add(1)
		all = append(all, func(c *client) {
			defer d.gone.Done()
			c.doors = []string{d.source}
			d.play(c, "x"+strconv.Itoa(i), &d.past, d.over)
			c.drop()
		}, func(c *client) { d.play(c, "y"+strconv.Itoa(i), &d.own, nil) })
	}
	return all
}

// end has those who bypass the program go, and waits until they have.
func (d *direct) end() {
	close(d.over)
	d.gone.Wait()
}

// play writes until the run or this is over.
func (d *direct) play(c *client, who string, count *tally, over <-chan struct{}) {
	for n := 0; c.going(); n++ {
		select {
		case <-over:
			return
		default:
		}
		t, list := token(who, n), "direct:list:"+strconv.Itoa(c.r.IntN(directLists))
		counts := c.r.IntN(2) == 0
		var o outcome
		switch {
		case counts:
			_, o = c.do("INCR", directCounter)
		case c.r.IntN(3) == 0:
			_, o = c.do("EVAL", `return redis.call('RPUSH', KEYS[1], ARGV[1])`, "1", list, t)
		default:
			_, o = c.do("RPUSH", list, t)
		}
		d.mu.Lock()
		count.add(o)
		switch {
		case !counts:
			d.pushed[t] = o
		case o == done:
			d.counts[0]++
		case o == unknown:
			d.counts[1]++
		}
		d.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(60)) * time.Millisecond)
	}
}

func (d *direct) check(server *wire.Conn) (wrong []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	times := map[string]int{}
	for i := range directLists {
		list := "direct:list:" + strconv.Itoa(i)
		reply, err := server.Do("LRANGE", list, "0", "-1")
		if err != nil {
			return nil, fmt.Errorf("LRANGE %s: %w", list, err)
		}
		last := map[string]string{}
		for _, t := range reply.Strings() {
			times[t]++
			if d.pushed[t] != done {
				continue // it may have been executed late
			}
			who, _, _ := strings.Cut(t, "-")
			if t <= last[who] {
				wrong = append(wrong, fmt.Sprintf("%s has %s after %s", list, t, last[who]))
			}
			last[who] = t
		}
	}
	for t, o := range d.pushed {
		switch n := times[t]; {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s is there %d times", t, n))
		case n == 0 && o == done:
			wrong = append(wrong, fmt.Sprintf("%s was done and is not there", t))
		case n == 1 && o == refused:
			wrong = append(wrong, fmt.Sprintf("%s was refused and is there", t))
		}
		delete(times, t)
	}
	for t := range times {
		wrong = append(wrong, fmt.Sprintf("%s was never pushed", t))
	}
	reply, err := server.Do("GET", directCounter)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", directCounter, err)
	}
	if n, _ := strconv.Atoi(reply.Str); n < d.counts[0] || n > d.counts[0]+d.counts[1] {
		wrong = append(wrong, fmt.Sprintf("%s is %d, and %d increments were done, %d are unknown", directCounter, n, d.counts[0], d.counts[1]))
	}
	slices.Sort(wrong)
	return wrong, nil
}

func (d *direct) summary() string {
	return fmt.Sprintf("past the program %v; through it %v", d.past, d.own)
}
