package test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
	"tandem/test/wire"
)

// The scripts of a queue in Lua: a long waiting list, of which each job moves one element.
const (
	takeJob = `local job = redis.call('RPOPLPUSH', KEYS[1], KEYS[2])
if job then
  redis.call('ZADD', KEYS[3], ARGV[1], job)
  redis.call('SET', KEYS[4], job, 'PX', 600000)
end
return job`
	endJob = `if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('LPUSH', KEYS[3], ARGV[1])`
	// noteJob writes a key that it does not name, and a stream entry with an id of the server's making.
	noteJob = `redis.call('HINCRBY', 'job:' .. ARGV[1], 'attempts', 1)
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'job', ARGV[1])`
	queueFunctions = "#!lua name=queue\nredis.register_function('rotate', function(keys) return redis.call('LMOVE', keys[1], keys[1], 'RIGHT', 'LEFT') end)"
)

// queue is a Lua queue that workers serve through the proxy.
type queue struct {
	addr      string
	functions bool
	take, end string // names of the loaded scripts
	done      atomic.Int64
	failed    atomic.Pointer[string]
	stop      chan struct{}
	workers   sync.WaitGroup
}

const tag = "{q}"

func startQueue(t *testing.T, addr string, jobs, workers int, functions bool) *queue {
	t.Helper()
	q := &queue{addr: addr, functions: functions, stop: make(chan struct{})}
	for at := 0; at < jobs; at += 1000 {
		push := []string{"LPUSH", tag + "waiting"}
		for i := range min(1000, jobs-at) {
			push = append(push, "job-"+strconv.Itoa(at+i)+strings.Repeat("x", 40))
		}
		do(t, addr, push...)
	}
	q.take, q.end = do(t, addr, "SCRIPT", "LOAD", takeJob).Str, do(t, addr, "SCRIPT", "LOAD", endJob).Str
	for i := range workers {
		q.workers.Go(func() { q.work(i) })
	}
	t.Cleanup(q.halt)
	return q
}

func (q *queue) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	q.failed.CompareAndSwap(nil, &text)
}

// work takes jobs and ends them, each once.
func (q *queue) work(i int) {
	c, err := wire.Dial(q.addr)
	if err != nil {
		q.fail("%v", err)
		return
	}
	defer c.Close()
	active, since, last := tag+"active:"+strconv.Itoa(i), tag+"since", tag+"last:"+strconv.Itoa(i)
	for n := 0; ; n++ {
		select {
		case <-q.stop:
			return
		default:
		}
		job, err := c.Do("EVALSHA", q.take, "4", tag+"waiting", active, since, last, strconv.Itoa(n))
		if err != nil || job.Str == "" {
			q.fail("take: %v %v", job, err)
			return
		}
		r, err := c.Do("EVALSHA", q.end, "3", active, since, tag+"finished", job.Str)
		if err != nil || r.Int == 0 {
			q.fail("end of %s: %v %v", job.Str, r, err)
			return
		}
		if q.functions {
			if _, err = c.Do("FCALL", "rotate", "1", tag+"finished"); err != nil {
				q.fail("rotate: %v", err)
				return
			}
		}
		q.done.Add(1)
	}
}

func (q *queue) halt() {
	select {
	case <-q.stop:
	default:
		close(q.stop)
	}
	q.workers.Wait()
}

// jobs waits until so many more are done.
func (q *queue) jobs(t *testing.T, td *program.Tandem, n int64) {
	t.Helper()
	before := q.done.Load()
	td.Until(fmt.Sprintf("%d more jobs", n), 60*time.Second, func() bool {
		if f := q.failed.Load(); f != nil {
			t.Fatal(*f)
		}
		return q.done.Load() >= before+n
	})
}

// A large list and a sorted set, served by scripts, are copied when the migration begins and not for any job, in
// every phase; no job is lost or done twice across a cutover and a rollback, and both sides are equal at the end.
func TestALuaQueueIsMigratedWithoutCopyingItPerJob(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"redis-7.0", "redis-7.0"}, {"redis-7.0", "valkey-9.1"}, {"redis-6.0", "redis-8.0"}} {
		found, ok := redisdtest.Find(t, pair[0], pair[1])
		if !ok {
			continue
		}
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			w := newWorld(t, worldOptions{source: found[0].Path, target: found[1].Path, keys: 2000})
			functions := pair[0] != "redis-6.0"
			if functions {
				do(t, w.source.Addr, "FUNCTION", "LOAD", queueFunctions)
			}
			const jobs = 60_000
			q := startQueue(t, w.td.Addr, jobs, 6, functions)
			q.jobs(t, w.td, 100)
			w.td.Step("start")
			w.td.WaitSynced()

			q.jobs(t, w.td, 500)
			w.td.WaitStatus("no dirty key", 30*time.Second, func(s program.Status) bool { return s.DirtyKeys == 0 })
			before, copies := q.done.Load(), w.td.Status().Copies.Done
			q.jobs(t, w.td, 2000)
			after, more := q.done.Load(), w.td.Status().Copies.Done-copies
			t.Logf("%d jobs, %d copies", after-before, more)
			if more > 50 {
				t.Errorf("%d copies for %d jobs", more, after-before)
			}

			steps := []string{"cutover", "rollback", "cutover"}
			if pair[0] != pair[1] {
				steps = steps[:1] // an older server does not take every copy of a newer one
			}
			for _, name := range steps {
				w.td.WaitStatus("ready to switch", 60*time.Second, func(s program.Status) bool {
					return s.Phase != "backfill" && (s.ReadyToCutover || s.Phase == "reversed")
				})
				w.td.SwitchOver(name)
				q.jobs(t, w.td, 300)
			}
			q.halt()
			if f := q.failed.Load(); f != nil {
				t.Fatal(*f)
			}
			w.mustBeEqual()
			left := do(t, w.td.Addr, "LLEN", tag+"waiting").Int
			finished := do(t, w.td.Addr, "LLEN", tag+"finished").Int
			if finished != q.done.Load() || left+finished != jobs {
				t.Errorf("%d jobs are left and %d finished of %d; workers have finished %d", left, finished, jobs, q.done.Load())
			}
			for _, name := range []string{q.take, q.end} {
				if got := do(t, w.target.Addr, "SCRIPT", "EXISTS", name); got.String() != do(t, w.source.Addr, "SCRIPT", "EXISTS", name).String() {
					t.Errorf("the target has not script %s: %s", name, got)
				}
			}
		})
	}
}

// What scripts write without naming it, and what they make of the server's clock, arrives as well.
func TestWhatScriptsDoNotNameArrives(t *testing.T) {
	w := newWorld(t, worldOptions{keys: 500})
	w.td.Step("start")
	w.td.WaitSynced()
	c := dial(t, w.td.Addr)
	for i := range 300 {
		if _, err := c.Do("EVAL", noteJob, "1", tag+"events", strconv.Itoa(i%20)); err != nil {
			t.Fatal(err)
		}
		if i == 150 {
			w.td.WaitSettled()
		}
	}
	w.mustBeEqual()
	w.td.SwitchOver("cutover")
	for i := range 50 {
		if _, err := c.Do("EVAL", noteJob, "1", tag+"events", strconv.Itoa(i%20)); err != nil {
			t.Fatal(err)
		}
	}
	w.mustBeEqual()
	if got := do(t, w.source.Addr, "HGET", "job:7", "attempts").Str; got != do(t, w.target.Addr, "HGET", "job:7", "attempts").Str || got == "" {
		t.Errorf("the source has %q attempts of job 7", got)
	}
	w.td.MustVerify()
}
