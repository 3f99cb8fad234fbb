package migration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// quickly makes a world notice trouble of the primary within a second or two.
func quickly(c *config.Config) { c.Primary.Wait = time.Second }

// syncsAtOnce is a server that does not wait for more replicas before it serves one.
var syncsAtOnce = redisd.Options{Args: []string{"--repl-diskless-sync-delay", "0"}}

// blocked reports whether a blocker with this code stands, and fails the test if it says too little.
func (w *world) blocked(s status.Status, code string) bool {
	for _, b := range s.Blockers {
		if b.Code == code {
			if b.Message == "" || b.Remedy == "" {
				w.t.Fatalf("blocker %+v says too little", b)
			}
			return true
		}
	}
	return false
}

// The server has forgotten the connection, or something between has: nothing comes back on it, while new ones are
// served. What was sent on it arrives much later, and must not be executed any more.
func TestAHalfOpenConnectionToThePrimaryIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	relay := w.relay(w.source)
	w.fill(w.source.Addr, 10, 0)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "INCR", "counter")

	relay.HoldBack()
	if _, err := c.Do(t.Context(), "INCR", "counter"); !errors.Is(err, instance.ErrNoAnswer) {
		t.Fatalf("%v, want the connection to be closed", err)
	}
	if got := w.do(w.conn("", 0), "INCR", "counter"); got != "2" {
		t.Errorf("INCR on the new connection: %s", got)
	}
	w.logged("a connection is given up")
	relay.Release()
	direct := w.conn(w.source.Addr, 0)
	for range 200 { // what was held back would be executed among these
		if got := w.do(direct, "GET", "counter"); got != "2" {
			t.Fatalf("the command of the dead connection was executed late: %s", got)
		}
	}
	w.synced()
	w.same(0)
}

// A primary that hangs is waited for, as its own clients do, and named.
func TestAPrimaryThatHangsIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "SET", "a", "1")
	w.pause(w.source)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Do(context.Background(), "INCR", "a")
		answered <- err
	}()
	w.until("it is named", func(s status.Status) bool { return w.blocked(s, "primary_silent") && !s.ReadyToCutover })
	w.until("it was asked more often than it takes to give it up", func(s status.Status) bool { return s.UptimeS >= 5 })
	if err := w.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the command that waited: %v", err)
	}
	w.until("it is over", func(s status.Status) bool { return s.ReadyToCutover })
	w.same(0)
}

// Nothing arrives any more, on old connections and on new ones: clients wait, and get an error or go on.
func TestAPrimaryThatIsRefusedConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	relay := w.relay(w.source)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "SET", "a", "1")
	relay.Lead("127.0.0.1:1")
	relay.Cut()
	v, err := c.Do(t.Context(), "GET", "a")
	if err == nil || !strings.Contains(err.Error(), "the command was not sent") && !errors.Is(err, instance.ErrNoAnswer) {
		t.Fatalf("%v %v, want an error of ours or a closed connection", v, err)
	}
	w.until("it is named", func(s status.Status) bool { return w.blocked(s, primaryDown) })
	relay.Lead(w.source.Addr)
	if got := w.do(w.conn("", 0), "INCR", "a"); got != "2" {
		t.Errorf("INCR: %s", got)
	}
	w.synced()
	w.same(0)
}

// A failover behind the same address that leaves old connections open: they lead to a server that is a replica now.
func TestAPrimaryThatFailsOverWithItsConnectionsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, syncsAtOnce, redisd.Options{}, quickly)
	w.lookEvery = 300 * time.Millisecond
	other := redisdtest.Start(t, redisd.Options{})
	relay := w.relay(w.source)
	w.fill(w.source.Addr, 50, 0)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "SET", "before", "1")

	host, port, _ := strings.Cut(w.source.Addr, ":")
	promoted := w.conn(other.Addr, 0)
	w.do(promoted, "REPLICAOF", host, port)
	w.until("the replica has everything", func(status.Status) bool {
		return strings.Contains(w.do(promoted, "INFO", "replication"), "master_link_status:up") && w.do(promoted, "DBSIZE") == "51"
	})
	w.do(promoted, "REPLICAOF", "NO", "ONE")
	w.do(promoted, "SET", "lost", "with the old one")
	host, port, _ = strings.Cut(other.Addr, ":")
	w.do(w.conn(w.source.Addr, 0), "REPLICAOF", host, port)
	relay.Lead(other.Addr)

	w.until("writes are taken again", func(status.Status) bool {
		v, err := w.conn("", 0).Do(t.Context(), "SET", "after", "2")
		if err != nil && !strings.Contains(err.Error(), "READONLY") && !errors.Is(err, instance.ErrNoAnswer) {
			t.Fatalf("%v, want what a replica says", err)
		}
		return err == nil && string(v.Str) == "OK"
	})
	w.logged("the address leads to another server now")
	w.source.Addr = other.Addr // for the comparison
	w.synced()
	w.same(0)
}

// A primary that is made a replica of an empty server loses its data. The secondary keeps them until somebody has said
// which server is the primary; then it is made equal to that.
func TestNothingIsCopiedFromAPrimaryThatHasBecomeAReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	w.lookEvery = 200 * time.Millisecond
	other := redisdtest.Start(t, syncsAtOnce)
	w.fill(other.Addr, 5, 0)
	w.fill(w.source.Addr, 50, 0)
	w.run()
	w.synced()
	c := w.conn("", 0)
	w.do(c, "SET", "a", "1")
	w.synced()
	host, port, _ := strings.Cut(other.Addr, ":")
	source, target := w.conn(w.source.Addr, 0), w.conn(w.target.Addr, 0)
	w.do(source, "REPLICAOF", host, port)
	if _, err := c.Do(t.Context(), "SET", "a", "2"); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Fatalf("%v, want the server's own refusal", err)
	}
	w.until("it is named", func(s status.Status) bool { return w.blocked(s, "primary_is_replica") && !s.ReadyToCutover })
	w.until("it has the other's data", func(status.Status) bool { return w.do(source, "DBSIZE") == "5" })
	// A key that is dirty now would be removed.
	name := []byte("key:7")
	w.ledger.Lock()
	w.ledger.MakeDirty(w.dirtyKey(name))
	w.ledger.Unlock()
	_, err := w.Cutover(t.Context(), admin.StepOptions{})
	refused(t, err, "primary_is_replica")
	began := time.Now()
	w.until("the copier had time to take it", func(s status.Status) bool { return time.Since(began) > time.Second && s.DirtyKeys == 1 })
	if got := w.do(target, "DBSIZE"); got != "51" {
		t.Errorf("the secondary has %s keys, of 51", got)
	}

	w.do(source, "REPLICAOF", "NO", "ONE")
	w.logged("server was a replica for a time")
	w.synced()
	w.same(0)
	if got := w.do(target, "DBSIZE"); got != "5" {
		t.Errorf("the secondary has %s keys, of 5", got)
	}
}

// One that was a replica between two looks is noticed all the same, and a primary that is one may be given up.
func TestAPrimaryThatWasAReplicaForAMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	w.lookEvery = time.Hour
	w.fill(w.source.Addr, 50, 0)
	w.run()
	w.synced()
	w.look(w.Migration.source)
	source := w.conn(w.source.Addr, 0)
	w.do(source, "REPLICAOF", "127.0.0.1", "1")
	w.do(source, "REPLICAOF", "NO", "ONE")
	w.look(w.Migration.source)
	w.logged("server was a replica for a time")
	w.synced()
	w.look(w.Migration.source)
	if n := strings.Count(w.log.String(), "was a replica for a time: all"); n != 1 {
		t.Errorf("it owed a sweep %d times", n)
	}

	w.do(source, "REPLICAOF", "127.0.0.1", "1")
	w.look(w.Migration.source)
	if _, err := w.Cutover(t.Context(), admin.StepOptions{Force: primaryDown}); err != nil {
		t.Fatal(err)
	}
	w.do(w.conn("", 0), "SET", "a", "on the target")
	w.until("the old primary takes no writes", func(s status.Status) bool { return w.blocked(s, "secondary_refuses") })
	w.do(source, "REPLICAOF", "NO", "ONE")
	w.look(w.Migration.source)
	w.until("equal again", func(s status.Status) bool { return s.DirtyKeys == 0 && len(s.Blockers) == 0 })
	w.same(0)
}
