package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
)

// A server that takes over another one's data while no process looks, and is a master again when one does, in the same
// server process and with as many keys: only its replication id tells.
func TestAServerThatWasAReplicaWhileNobodyLooked(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"primary", "secondary"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
			other := redisdtest.Start(t, syncsAtOnce)
			w.fill(w.source.Addr, 50, 0)
			stranger := w.conn(other.Addr, 0)
			for i := range 50 {
				w.do(stranger, "SET", fmt.Sprint("key:", i), "of another server")
			}
			w.run()
			w.synced()
			w.stopped()

			changed := w.source
			if role == "secondary" {
				changed = w.target
			}
			host, port, _ := strings.Cut(other.Addr, ":")
			server := w.conn(changed.Addr, 0)
			w.do(server, "REPLICAOF", host, port)
			w.until("it has the other's data", func(status.Status) bool { return w.do(server, "GET", "key:7") == "of another server" })
			w.do(server, "REPLICAOF", "NO", "ONE")

			w.run()
			w.logged("server was a replica for a time")
			w.until("the sweep is done", func(s status.Status) bool { return s.Backfill.State == status.Done })
			w.synced()
			w.same(0)
			w.stopped()

			// That was dealt with: it is no news for the next process.
			w.log.Reset()
			w.run()
			w.logged("nothing was left unsettled")
			w.look(w.Migration.source)
			w.look(w.Migration.target)
			w.synced()
			if strings.Contains(w.log.String(), "was a replica") {
				t.Errorf("it is compared for the same again:\n%s", w.log)
			}
		})
	}
}

// One that is a replica still when the next process begins is taken for what it has become, not for a source that always
// was one: nothing is copied from it.
func TestAPrimaryThatHasBecomeAReplicaWhileNobodyLooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{}, quickly)
	w.lookEvery = 200 * time.Millisecond
	other := redisdtest.Start(t, syncsAtOnce)
	w.fill(w.source.Addr, 50, 0)
	w.run()
	w.synced()
	w.stopped()
	source := w.conn(w.source.Addr, 0)
	host, port, _ := strings.Cut(other.Addr, ":")
	w.do(source, "REPLICAOF", host, port)
	w.until("it has the other's data", func(status.Status) bool {
		return w.do(source, "DBSIZE") == "0" && strings.Contains(w.do(source, "INFO", "replication"), "master_link_status:up")
	})
	w.run()
	w.until("it is named", func(s status.Status) bool { return w.blocked(s, "primary_is_replica") })
	if got := w.do(w.conn(w.target.Addr, 0), "DBSIZE"); got != "50" {
		t.Errorf("the secondary has %s keys, of 50", got)
	}
}

// Replicas of its own that come and go change a master's replication id, and nothing else.
func TestAReplicaOfThePrimaryOwesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, syncsAtOnce, redisd.Options{}, quickly)
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	w.look(w.Migration.source)
	before := w.factsOf(w.Migration.source).ReplicationID
	replica := w.conn(redisdtest.Start(t, redisd.Options{}).Addr, 0)
	host, port, _ := strings.Cut(w.source.Addr, ":")
	w.do(replica, "REPLICAOF", host, port)
	w.until("it is in touch", func(status.Status) bool {
		return strings.Contains(w.do(replica, "INFO", "replication"), "master_link_status:up")
	})
	w.look(w.Migration.source)
	if after := w.factsOf(w.Migration.source).ReplicationID; after == before {
		t.Errorf("the replication id is still %s: this test shows nothing", after)
	}
	w.saveServers(false)
	w.stopped()
	w.run()
	w.logged("nothing was left unsettled")
	w.synced()
	w.look(w.Migration.source)
	if strings.Contains(w.log.String(), "was a replica") {
		t.Errorf("a sweep was owed:\n%s", w.log)
	}
}
