package test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/test/program"
	"tandem/test/wire"
)

// While clients write as fast as they can, most of it with an expiry of some milliseconds, one verify after the other finds
// nothing, and neither do shadow reads. What is planted at the end is found.
func TestVerifyRaisesNoFalseAlarm(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 3000, settings: []string{"verify: {shadow_reads: 0.05, ttl_tolerance: 100ms}"}})
	w.td.Step("start")
	w.td.WaitSynced()
	var writers sync.WaitGroup
	var wrote atomic.Int64
	stop := make(chan struct{})
	for i := range 4 {
		writers.Go(func() {
			if err := writeExpiring(w.td.Addr, uint64(i), stop, &wrote); err != nil {
				t.Error(err)
			}
		})
	}
	began := time.Now()
	verifies := 0
	for time.Since(began) < 3*time.Second || verifies < 3 {
		w.td.MustVerify()
		verifies++
	}
	took := time.Since(began)
	close(stop)
	writers.Wait()
	s := w.td.Status()
	t.Logf("%d verifies in %v, during %.0f writes/s; %d reads compared", verifies, took.Round(time.Millisecond),
		float64(wrote.Load())/took.Seconds(), s.Shadow.Compared)
	if s.Shadow.Different > 0 || s.Shadow.Compared == 0 {
		t.Errorf("shadow reads: %+v", s.Shadow)
	}
	in(t, w.target.Addr, 0, "SET plant:many v")
	if code, lines := w.td.Verify(); code != 4 || len(lines) != 1 {
		t.Errorf("exit status %d, %s", code, program.ShowDifferences(lines))
	}
}

// writeExpiring writes and reads keys of all kinds that expire soon, in pipelines, until stop is closed.
func writeExpiring(addr string, seed uint64, stop <-chan struct{}, wrote *atomic.Int64) error {
	c, err := wire.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		var commands [][]string
		for range 64 {
			k, ms := fmt.Sprint(r.IntN(3000)), fmt.Sprint(1+r.IntN(40))
			switch r.IntN(8) {
			case 0, 1:
				commands = append(commands, []string{"SET", "busy:s" + k, "v" + ms, "PX", ms})
			case 2:
				commands = append(commands, []string{"INCR", "busy:n" + k}, []string{"PEXPIRE", "busy:n" + k, ms})
			case 3:
				commands = append(commands, []string{"HSET", "busy:h" + k, "f" + ms, ms})
			case 4:
				commands = append(commands, []string{"RPUSH", "busy:l" + k, ms}, []string{"PEXPIRE", "busy:l" + k, ms})
			case 5:
				commands = append(commands, []string{"ZADD", "busy:z" + k, ms, ms})
			case 6:
				commands = append(commands, []string{"GET", "busy:s" + k}, []string{"SMEMBERS", "busy:t" + k}, []string{"HGETALL", "busy:h" + k})
			case 7:
				commands = append(commands, []string{"SADD", "busy:t" + k, ms})
			}
		}
		if _, err := c.DoMany(commands); err != nil {
			return err
		}
		wrote.Add(int64(len(commands)))
	}
}
