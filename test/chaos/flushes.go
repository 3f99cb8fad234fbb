package chaos

import (
	"strconv"
	"sync"
	"time"

	"tandem/test/wire"
)

// flushes are clients of two databases that they fill, empty and exchange as a whole. What they are answered is not
// judged: what is left counts in the comparison of both servers.
type flushes struct {
	mu    sync.Mutex
	tally tally
}

const (
	flushLoad  = 2
	firstFlush = 3 // of the two databases
)

func newFlushes() *flushes { return &flushes{} }

func (f *flushes) name() string { return "flushes" }

func (f *flushes) prepare(string) error { return nil }

func (f *flushes) clients() (all []func(*client)) {
	for range flushLoad {
		all = append(all, f.play)
	}
	return all
}

func (f *flushes) play(c *client) {
	c.careless = true
	for c.going() {
		// Each time anew: the connection may be another than the last.
		commands := [][]string{{"SELECT", strconv.Itoa(firstFlush + c.r.IntN(2))}}
		for range 1 + c.r.IntN(10) {
			key := "flush:" + strconv.Itoa(c.r.IntN(40))
			switch n := c.r.IntN(6000); {
			case n == 0: // rarely: all keys may be compared for it, which a cutover has to wait for
				commands = append(commands, []string{"SWAPDB", strconv.Itoa(firstFlush), strconv.Itoa(firstFlush + 1)})
			case n < 10:
				commands = append(commands, []string{"FLUSHDB", "ASYNC"})
			case n < 30:
				commands = append(commands, []string{"FLUSHDB"})
			case n < 33:
				commands = append(commands, []string{"MULTI"}, []string{"INCR", key}, []string{"FLUSHDB"}, []string{"RPUSH", key, "1"}, []string{"EXEC"})
			default:
				commands = append(commands, []string{"INCR", key})
			}
		}
		_, o := c.batch(commands)
		c.drop()
		f.mu.Lock()
		f.tally.add(o)
		f.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(200)) * time.Millisecond)
	}
}

func (f *flushes) check(*wire.Conn) (wrong []string, err error) { return nil, nil }

func (f *flushes) summary() string { return f.tally.String() }
