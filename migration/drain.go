package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/status"
)

// reconnects is how long a lost connection to a server that is there may take to come back.
const reconnects = time.Second

// drain ends the work: clients get the answers to what they sent, the secondary the effects and the copies that it is owed. A
// step that is under way is undone, unless it has come too far for that. It takes shutdown.timeout, and a quarter more
// where the clients needed all of it.
func (m *Migration) drain() error {
	m.log.Info("draining", "sessions", m.server.Sessions())
	m.drainNow()
	m.step.Lock()
	defer m.step.Unlock()
	timeout := m.cfg.Shutdown.Timeout
	until := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	m.verifies.end(errors.New("the process ended"))
	m.server.Shutdown(ctx)

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
		r.keys = m.ledger.DirtyKeys()
	}
	m.mu.Unlock()
	switch _, problem := l.effects.Facts(); {
	case !l.effects.Up():
		r.why, r.hopeless = l.secondary.String()+" is not connected: "+problem, true
	case l.effects.Refusal() != "":
		r.why, r.hopeless = l.secondary.String()+" refuses what it is sent: "+l.effects.Refusal(), true
	case !m.shard.Connected() && r.writes == 0:
		r.why, r.hopeless = m.shard.Answering().String()+" is not connected, so nothing can be copied", true
	}
	return r
}
