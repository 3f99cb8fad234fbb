package migration

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"

	"tandem/internal/journal"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// conflictsFile lists, in the state directory, the keys that were decided; lines are added to it.
const conflictsFile = "conflicts.jsonl"

// maxConflicts bounds the keys that wait to be listed; more are counted alone.
const maxConflicts = 100_000

// conflicts are keys of which what one server had alone was replaced by what the other one has. It is told under the
// ledger's lock, and takes none but its own.
type conflicts struct {
	mu      sync.Mutex
	list    string // the file, once there is one
	total   [2]int64
	waiting []status.Difference // to be listed
	dropped int64               // that were not

	// of the goroutine that follows two-way
	noted   [2]int64
	notedAt time.Time
	sick    bool
}

// decided is told by the ledger of a key, and for which server it is.
func (c *conflicts) decided(k *ledger.Key, side ledger.Side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total[side]++
	if len(c.waiting) >= maxConflicts {
		c.dropped++
		return
	}
	c.waiting = append(c.waiting, status.Difference{Key: bytes.Clone(k.Name), DB: int(k.DB), Kind: "conflict",
		Detail: "decided for the " + [2]string{"source", "target"}[side] + ": the other one was out of reach with what it alone had"})
}

// told returns how many there were, and where they are listed.
func (c *conflicts) told() (n int64, list string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total[0] + c.total[1], c.list
}

// byDecision is how many were decided for each server.
func (c *conflicts) byDecision() [2]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// note lists what was decided since the last time, and tells the journal.
func (c *conflicts) note(m *Migration, now time.Time) {
	c.mu.Lock()
	keys, total, dropped := c.waiting, c.total, c.dropped
	c.waiting = nil
	c.mu.Unlock()
	if len(keys) > 0 {
		path := m.dir.File(conflictsFile)
		err := appendLines(path, keys)
		switch {
		case err == nil:
			c.mu.Lock()
			c.list = path
			c.mu.Unlock()
			c.sick = false
		case !c.sick:
			c.sick = true
			m.log.Error("keys that were decided in two-way cannot be listed", "file", path, "error", err, "keys", len(keys))
		}
	}
	n := total[0] + total[1] - c.noted[0] - c.noted[1]
	if n == 0 || now.Sub(c.notedAt) < lossesEvery {
		return
	}
	message := fmt.Sprintf("%d keys that had changed on one server alone, which is out of reach, were replaced by the other one's state", n)
	if dropped > 0 {
		message += fmt.Sprintf("; %d so far are not listed, for there were too many at once", dropped)
	}
	m.log.Warn("keys were decided in two-way", "what", message, "file", m.dir.File(conflictsFile))
	m.record(journal.Event{Kind: journal.Difference, Name: "conflict", Message: message, Numbers: map[string]float64{
		"keys": float64(n), "for_source": float64(total[0] - c.noted[0]), "for_target": float64(total[1] - c.noted[1])}})
	c.noted, c.notedAt = total, now
}

// appendLines adds lines of JSON to a file.
func appendLines(path string, keys []status.Difference) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	err = encodeLines(f, keys)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// decided is told by the ledger, under its lock, of a key whose state on one server is replaced by the other one's.
func (m *Migration) decided(k *ledger.Key) { m.two.conflicts.decided(k, m.ledger.SideOf(k.Hash)) }
