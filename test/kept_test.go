package test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tandem/internal/crashpoint"
	"tandem/test/program"
	"tandem/test/wire"
)

// keptKeys are lists that both servers have, of different content: the source "s", the target "t". Clients push to some
// of them, through the program, and remember what became of it.
type keptKeys struct {
	addr    string
	n       int
	stop    atomic.Bool
	clients sync.WaitGroup
	acked   []int // pushes that were answered, by key
	tried   []int // pushes that were sent
	pushes  atomic.Int64
}

func (k *keptKeys) name(i int) string { return fmt.Sprint("kept:", i) }

// fill makes the keys on both servers, and as many on the target alone.
func (k *keptKeys) fill(t *testing.T, source, target string) {
	t.Helper()
	k.acked, k.tried = make([]int, k.n), make([]int, k.n)
	for addr, word := range map[string]string{source: "s", target: "t"} {
		var commands [][]string
		for i := range k.n {
			commands = append(commands, []string{"RPUSH", k.name(i), word})
			if addr == target {
				commands = append(commands, []string{"RPUSH", fmt.Sprint("alone:", i), word})
			}
		}
		k.ask(t, addr, commands)
	}
}

func (k *keptKeys) ask(t *testing.T, addr string, commands [][]string) []wire.Reply {
	t.Helper()
	c, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	replies, err := c.DoMany(commands)
	if err != nil {
		t.Fatal(err)
	}
	return replies
}

// write has clients push, each to keys of its own, until they are stopped. They connect again when the program is there.
func (k *keptKeys) write(clients int) {
	for c := range clients {
		k.clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			var conn *wire.Conn
			for !k.stop.Load() {
				if conn == nil {
					if conn, _ = wire.Dial(k.addr); conn == nil {
						continue
					}
				}
				i := r.IntN(k.n/clients)*clients + c
				k.tried[i]++
				if reply, err := conn.Do("RPUSH", k.name(i), fmt.Sprint("w", k.tried[i])); err != nil || reply.IsErr() {
					conn.Close()
					conn = nil
					continue
				}
				k.acked[i]++
				k.pushes.Add(1)
			}
			if conn != nil {
				conn.Close()
			}
		})
	}
}

// read returns the keys of a server, those of the target alone behind the others.
func (k *keptKeys) read(t *testing.T, addr string) []string {
	t.Helper()
	var commands [][]string
	for _, prefix := range []string{"kept:", "alone:"} {
		for i := range k.n {
			commands = append(commands, []string{"LRANGE", fmt.Sprint(prefix, i), "0", "-1"})
		}
	}
	var out []string
	for _, r := range k.ask(t, addr, commands) {
		out = append(out, strings.Join(r.Strings(), " "))
	}
	return out
}

// check compares both servers with what the clients know.
func (k *keptKeys) check(t *testing.T, source, target string) {
	t.Helper()
	on, to := k.read(t, source), k.read(t, target)
	untouched, written := 0, 0
	for i := range k.n {
		switch pushed := len(strings.Fields(on[i])) - 1; {
		case pushed < k.acked[i] || pushed > k.tried[i]:
			t.Errorf("%s: %d pushes, of %d that were answered and %d sent: %q", k.name(i), pushed, k.acked[i], k.tried[i], on[i])
		case on[i] == to[i]:
			written++
		case pushed > 0 || to[i] != "t":
			t.Errorf("%s is %q on the source and %q on the target, pushed to %d times", k.name(i), on[i], to[i], k.tried[i])
		default:
			untouched++
		}
		if k.tried[i] == 0 && to[i] != "t" {
			t.Errorf("nobody has written to %s, and it is %q on the target", k.name(i), to[i])
		}
		if to[k.n+i] != "t" || on[k.n+i] != "" {
			t.Errorf("the target's own alone:%d is %q there and %q on the source", i, to[k.n+i], on[k.n+i])
		}
		if t.Failed() {
			return
		}
	}
	if untouched == 0 || written == 0 {
		t.Fatalf("%d keys are still kept, %d were written: one of both is not tried", untouched, written)
	}
	t.Logf("%d keys are still kept, %d were written, %d pushes", untouched, written, k.pushes.Load())
}

// Killed while the list of kept keys is made, and at the points where a key leaves it, under writes to kept keys: each
// key ends as the target had it, if nobody has written to it, and as the source has it otherwise.
func TestKeptKeysOutliveKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{settings: []string{"duplicates: skip"}})
	k := &keptKeys{addr: w.td.Addr, n: sized(50_000)}
	k.fill(t, w.source.Addr, w.target.Addr)

	// While the list is made: nothing has begun, and the next start makes it anew.
	w.td.Signal(syscall.SIGKILL)
	listed := crash{crashpoint.KeptListed, 1}
	w.td.LaunchCrashing(string(listed.point), listed.n)
	w.td.Until("it answers", 30*time.Second, func() bool { _, err := w.td.TryStatus(); return err == nil })
	_, _, _ = w.td.TryAsk("start")
	w.crashed(listed)
	if phases := w.td.Start(); !slices.Equal(phases, []string{"passthrough"}) {
		t.Fatalf("phases %v after a crash before the beginning", phases)
	}
	w.td.Step("start")
	k.write(4)
	defer k.clients.Wait()
	defer k.stop.Store(true)
	crashes := []crash{{crashpoint.KeptReleased, 50}, {crashpoint.KeptSynced, 1}, {crashpoint.Sent, 100}}
	if program.Full {
		crashes = append(crashes, crash{crashpoint.KeptReleased, 1}, crash{crashpoint.KeptSynced, 100}, crash{crashpoint.Marked, 100},
			crash{crashpoint.Judged, 100}, crash{crashpoint.CopyAppended, 20})
	}
	for _, c := range crashes {
		began := time.Now()
		w.td.Signal(syscall.SIGKILL)
		w.td.LaunchCrashing(string(c.point), c.n)
		w.crashed(c)
		w.td.Start()
		before := k.pushes.Load()
		w.td.Until("pushes go on", 30*time.Second, func() bool { return k.pushes.Load() > before+20 })
		t.Logf("%s %d: %v", c.point, c.n, time.Since(began).Round(time.Millisecond))
	}
	k.stop.Store(true)
	k.clients.Wait()
	w.td.WaitSynced()
	k.check(t, w.source.Addr, w.target.Addr)
	w.td.MustVerify()
	w.td.WaitStatus("ready to cut over", program.SyncTime(), func(s program.Status) bool { return s.ReadyToCutover })
	w.td.SwitchOver("cutover")
	k.check(t, w.source.Addr, w.target.Addr)
	w.td.MustMatch()
}
