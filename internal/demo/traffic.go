package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/time/rate"
)

// traffic is the clients of the demo. Each has a connection of its own to the proxy and an account of what
// it was answered; it sends a pipeline, checks every reply, and goes on. A client stops for good at its
// first error or wrong reply, which is then the demo's failure too.
type traffic struct {
	clients []*client
	pace    *rate.Limiter
	stop    context.CancelFunc
	done    sync.WaitGroup

	commands atomic.Int64 // answered, and the answer right
	// step and recent are the longest that a pipeline took: during a step of the demo, and since the
	// picture was last drawn.
	step, recent peak
	wrong        atomic.Pointer[error]
}

// peak is the longest of many durations.
type peak struct{ ns atomic.Int64 }

func (p *peak) add(d time.Duration) {
	for {
		longest := p.ns.Load()
		if int64(d) <= longest || p.ns.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

// take returns the longest since the last take.
func (p *peak) take() time.Duration { return time.Duration(p.ns.Swap(0)) }

// paceBurst is how many commands may be sent at once: some pipelines.
const paceBurst = 100

// turnPoll is the pause between two looks at how far the clients are.
const turnPoll = 2 * time.Millisecond

// client is one of them. Its goroutine owns the account until traffic has stopped.
type client struct {
	name    string
	conn    rueidis.Client
	account *account
	rounds  atomic.Int64 // pipelines answered
}

// newTraffic connects the clients; pause and resume let them run. perSecond bounds the commands of all of
// them together, so that a demo on a small machine shows a migration and not a saturated CPU.
func newTraffic(addr string, clients, keys, perSecond int) (*traffic, error) {
	t := &traffic{pace: rate.NewLimiter(rate.Limit(perSecond), paceBurst), stop: func() {}}
	for id := range clients {
		name := fmt.Sprintf("demo-client-%d", id)
		conn, err := dial(addr, name, 0)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.clients = append(t.clients, &client{name: name, conn: conn, account: newAccount(id, clients, keys)})
	}
	return t, nil
}

// resume lets all clients run until pause. When ctx ends, replies are not waited for either, and the books
// no longer count.
func (t *traffic) resume(ctx context.Context) {
	until, stop := context.WithCancel(ctx)
	t.stop = stop
	for _, c := range t.clients {
		t.done.Go(func() { t.run(ctx, until, c) })
	}
}

// pause returns when every client has its last reply.
func (t *traffic) pause() {
	t.stop()
	t.done.Wait()
}

// close ends the connections.
func (t *traffic) close() {
	t.pause()
	for _, c := range t.clients {
		c.conn.Close()
	}
}

// run is one client. A round that was made is sent even when pause comes between: the account has given out
// its numbers already.
func (t *traffic) run(ctx, until context.Context, c *client) {
	b := builderOf(c.conn)
	for until.Err() == nil && t.err() == nil {
		ops := c.account.round(b)
		t.pace.WaitN(until, len(ops)) // it fails only when until ends
		t.send(ctx, c, ops)
	}
}

// send sends one pipeline and checks its replies.
func (t *traffic) send(ctx context.Context, c *client, ops []operation) {
	began := time.Now()
	replies := c.conn.DoMulti(ctx, commandsOf(ops)...)
	took := time.Since(began)
	t.step.add(took)
	t.recent.add(took)
	if err := check(ops, replies); err != nil {
		err = fmt.Errorf("%s: %w", c.name, err)
		t.wrong.CompareAndSwap(nil, &err)
		return
	}
	t.commands.Add(int64(len(ops)))
	c.rounds.Add(1)
}

// turns returns when every client has sent a pipeline, and had it answered, since the call. Clients that
// were held by a step have then seen its end.
func (t *traffic) turns(ctx context.Context) error {
	tick := time.NewTicker(turnPoll)
	defer tick.Stop()
	for _, c := range t.clients {
		// The first to come back may have been on its way before the call.
		for before := c.rounds.Load(); c.rounds.Load() < before+2; {
			if err := t.err(); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// err is the first thing that went wrong for any client.
func (t *traffic) err() error {
	if p := t.wrong.Load(); p != nil {
		return *p
	}
	return nil
}

// audit compares the books of all clients, which must be paused, with a server.
func (t *traffic) audit(ctx context.Context, addr string) error {
	conn, err := dial(addr, "demo-audit", 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	var all []error
	for _, c := range t.clients {
		ops := c.account.audit(builderOf(conn))
		if err := check(ops, conn.DoMulti(ctx, commandsOf(ops)...)); err != nil {
			all = append(all, fmt.Errorf("the books of %s: %w", c.name, err))
		}
	}
	return errors.Join(all...)
}

func commandsOf(ops []operation) []rueidis.Completed {
	commands := make([]rueidis.Completed, len(ops))
	for i, op := range ops {
		// A pinned command is not recycled when it has been sent, so that check can name it.
		commands[i] = op.command.Pin()
	}
	return commands
}

// check gives every reply to its operation, also after one was wrong: the account takes part in each.
func check(ops []operation, replies []rueidis.RedisResult) error {
	var first error
	for i, op := range ops {
		if err := op.check(replies[i]); err != nil && first == nil {
			first = fmt.Errorf("%v: %w", op.command.Commands(), err)
		}
	}
	return first
}
