package migration

import (
	"math/rand/v2"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/status"
)

const (
	takesOneMiB = "1048576"
	longValue   = 3 << 20
)

// incompressible is a value whose DUMP is as long.
func incompressible() string {
	b := make([]byte, longValue)
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(b)
	return string(b)
}

// named reports whether a key is named as one that cannot be copied, with what to do.
func named(s status.Status, key string) bool {
	for _, b := range s.Blockers {
		if b.Code == "copy_failing" && strings.Contains(b.Message, key) && strings.Contains(b.Message, "proto-max-bulk-len") {
			return true
		}
	}
	return false
}

// A value that the secondary does not take in one piece, found by the sweep or written by a client, is not sent: that would
// end the connection each time. Its key is named, the others go on, and it is copied when it is taken.
func TestAValueThatTheSecondaryDoesNotTakeIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{Args: []string{"--proto-max-bulk-len", takesOneMiB}}, nil)
	w.fill(w.source.Addr, 20, 0)
	direct := w.conn(w.source.Addr, 0)
	value := incompressible()
	w.do(direct, "SET", "swept", value)
	w.run()
	w.until("the swept key is named", func(s status.Status) bool { return named(s, "swept") })
	c := w.conn("", 0)
	w.do(c, "SET", "written", value)
	w.until("the written key is named", func(s status.Status) bool { return named(s, "written") })
	w.do(c, "SET", "other", "1")
	w.until("the others go on", func(s status.Status) bool { return s.DirtyKeys <= 3 && s.UnsettledWrites == 0 })
	if got := w.do(w.conn(w.target.Addr, 0), "GET", "other"); got != "1" {
		t.Errorf("another key is %q", got)
	}
	if strings.Contains(w.log.String(), "effect lane lost") {
		t.Error("the connection was lost")
	}

	w.do(c, "SET", "written", "short")
	w.do(w.conn(w.target.Addr, 0), "CONFIG", "SET", "proto-max-bulk-len", "536870912")
	w.synced()
	w.same(0)
	if strings.Contains(w.log.String(), "effect lane lost") {
		t.Error("the connection was lost")
	}
}

// Where the server does not tell what it takes, the first values that end the connection do.
func TestWhatTheSecondaryTakesIsLearned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redisd.Options{}, redisd.Options{Args: []string{"--proto-max-bulk-len", takesOneMiB, "--rename-command", "CONFIG", ""}}, nil)
	w.fill(w.source.Addr, 20, 0)
	w.run()
	w.synced()
	c := w.conn("", 0)
	value := incompressible()
	w.do(c, "SET", "first", value)
	w.until("it is named", func(s status.Status) bool { return named(s, "first") })
	lost := strings.Count(w.log.String(), "effect lane lost") // one line for a few in a row
	w.do(c, "SET", "second", value)
	w.until("the second is named, too", func(s status.Status) bool { return named(s, "second") })
	w.do(c, "SET", "other", "1")
	w.until("the others go on", func(s status.Status) bool { return s.DirtyKeys == 2 && s.UnsettledWrites == 0 })
	if n := strings.Count(w.log.String(), "effect lane lost"); n != lost || lost == 0 {
		t.Errorf("the connection was lost %d times, and %d times once it was known", lost, n-lost)
	}
	w.do(c, "DEL", "first", "second")
	w.synced()
	w.same(0)
}
