package migration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tandem/internal/status"
	"tandem/proxy"
)

// reconnects is how long a lost connection to a server that is there may take to come back.
const reconnects = time.Second

// drain ends the work: clients get the answers to what they sent, the secondary the effects and the copies that it is owed. A
// step that is under way is undone, unless it has come too far for that. It takes shutdown.timeout, and a quarter more
// where the clients needed all of it; a few seconds where a server is gone, for there is nothing to wait for.
func (m *Migration) drain() error {
	m.log.Info("draining", "sessions", m.sessionCount())
	m.drainNow()
	m.step.Lock()
	defer m.step.Unlock()
	timeout := m.cfg.Shutdown.Timeout
	until := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	m.verifies.end(errProcessEnds)
	m.shutServers(ctx)

	defer m.throttle.Lift()()
	settle, done := context.WithTimeout(context.Background(), max(time.Until(until), timeout/4))
	defer done()
	var left remainder
	hopeful := time.Now()
	_ = m.shard.Await(settle, func() bool {
		if left = m.remainder(); !left.hopeless {
			hopeful = time.Now()
		}
		return left.settled() || time.Since(hopeful) > reconnects
	})
	m.stopLink()
	if !left.settled() {
		return fmt.Errorf("%w: %s; the next start puts that right", ErrUnsettled, left)
	}
	m.log.Info("drained")
	return nil
}

// shutServers is shutClients for both listeners at once.
func (m *Migration) shutServers(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { m.shutClients(ctx, m.shard, m.server) })
	if m.two != nil {
		shard := m.shard
		if m.twoWay() {
			shard = m.two.shard
		}
		both.Go(func() { m.shutClients(ctx, shard, m.two.server) })
	}
	both.Wait()
}

// shutClients lets clients have the answers to what they have sent, and closes them. From a primary that is not connected, and
// does not come back at once, none will come: then they are closed as they are. One that only hangs may answer yet.
func (m *Migration) shutClients(ctx context.Context, shard *proxy.Shard, server *proxy.Server) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var look sync.WaitGroup
	defer look.Wait()
	shut := make(chan struct{})
	defer close(shut)
	look.Go(func() {
		tick := time.NewTicker(reconnects / 10)
		defer tick.Stop()
		for seen := time.Now(); time.Since(seen) <= reconnects; {
			if !shard.Gone() {
				seen = time.Now()
			}
			select {
			case <-shut:
				return
			case <-tick.C:
			}
		}
		m.log.Warn("clients are closed without the answers that they wait for: the primary is not connected", "instance",
			shard.Primary().String(), "sessions", server.Sessions())
		cancel()
	})
	server.Shutdown(ctx)
}

// remainder is what the secondary lacks when the process ends, or may lack.
type remainder struct {
	writes int    // sent to the primary, whose effect is not acknowledged
	keys   int    // dirty
	why    string // the secondary cannot take anything
	// hopeless: nothing of it would become less by waiting.
	hopeless bool
}

func (r remainder) settled() bool { return r.writes == 0 && r.keys == 0 }

func (r remainder) String() string {
	var what []string
	if r.writes > 0 {
		what = append(what, fmt.Sprintf("%d not acknowledged", r.writes))
	}
	if r.keys > 0 {
		what = append(what, fmt.Sprintf("%d keys not copied", r.keys))
	}
	if r.why != "" {
		what = append(what, r.why)
	}
	return strings.Join(what, ", ")
}

// remainder is what is left at this moment. Dirty keys count once both servers were equal: before that the target is known to lack
// keys, and the backfill goes on with the next start. The ledger's lock is held.
func (m *Migration) remainder() remainder {
	l := m.linked.Load()
	if l == nil {
		return remainder{}
	}
	r := remainder{writes: m.ledger.Unsettled()}
	m.mu.Lock()
	if m.state.Phase != status.Backfill || !m.ledger.Sweeping() {
		copies, _ := m.ledger.Copying() // that one was sent is not enough
		r.keys = m.ledger.DirtyKeys() + copies
	}
	m.mu.Unlock()
	switch _, problem := l.effects.Facts(); {
	case !l.effects.Up():
		r.why, r.hopeless = l.secondary.String()+" is not connected: "+problem, true
	case l.back != nil && !l.back.effects.Up():
		_, problem := l.back.effects.Facts()
		r.why, r.hopeless = l.primary.String()+" is not connected: "+problem, true
	case l.back != nil && l.back.effects.Refusal() != "":
		r.why, r.hopeless = l.primary.String()+" refuses what it is sent: "+l.back.effects.Refusal(), true
	case l.effects.Refusal() != "":
		r.why, r.hopeless = l.secondary.String()+" refuses what it is sent: "+l.effects.Refusal(), true
	case !m.shard.Connected() && r.writes == m.ledger.Unreplied():
		r.why, r.hopeless = m.shard.Answering().String()+" is not connected, so nothing can be copied", true
	}
	return r
}
