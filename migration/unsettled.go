package migration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/status"
)

// unsettled is what the secondary may lack of what a primary has acknowledged that is given up.
type unsettled struct {
	keys []status.Difference
	// owed says why a sweep was owed when they were listed, or is empty: besides the keys, any that it had not
	// compared may lack something.
	owed string
	// since says why one has come to be owed after that, or is empty.
	since string
	sweep uint64 // the number of the last one that was owed when they were listed
}

// listUnsettled writes down what has not settled: the dirty keys, and those of writes that the primary was sent and has
// not answered. It is called in a hold, when no copier runs; what becomes dirty later is one of these. Nothing is
// written where there are none.
func (m *Migration) listUnsettled(dead *instance.Instance) (u unsettled, list *keyList, err error) {
	m.shard.Look(func() bool {
		m.shard.OweUnanswered()
		var why string
		var owed bool
		if u.sweep, why, owed = m.ledger.SweepOwed(); owed {
			u.owed = why
		}
		m.ledger.EachDirty(u.add)
		return true
	})
	list = &keyList{path: m.dir.File(fmt.Sprintf("unsettled-%d.jsonl", time.Now().UnixMilli()))}
	if u.owed != "" {
		m.log.Error("a sweep was owed when the primary was given up: keys that it had not compared may lack writes as well",
			"instance", dead.String(), "owed", u.owed)
	}
	return u, list, list.write(u.keys)
}

func (u *unsettled) add(d *ledger.Dirty) {
	u.keys = append(u.keys, status.Difference{Key: d.Key.Name, DB: int(d.Key.DB), Kind: "unsettled", Detail: d.Why})
}

// takeUnsettled takes all dirty keys out of the ledger, those that u is left with, and has a sweep owed instead. If one
// has come to be owed since they were listed, as by a flush without an answer, the ledger has forgotten them, and u
// keeps what was listed. No copier runs. The ledger's lock is held.
func (m *Migration) takeUnsettled(u *unsettled, why string) {
	if sweep, since, _ := m.ledger.SweepOwed(); sweep != u.sweep {
		u.since = since
	} else {
		u.keys = nil
		m.ledger.EachDirty(u.add)
	}
	m.ledger.OweSweep(why, 0)
}

// report says what was lost with a primary: all of it in a file of the state directory, the first in the log.
func (m *Migration) report(u unsettled, list *keyList, dead *instance.Instance) {
	var err error
	if len(u.keys) > list.keys {
		err = list.write(u.keys)
	}
	if u.since != "" {
		m.log.Error("a sweep came to be owed while the primary was given up: other keys than those listed may lack writes as well",
			"instance", dead.String(), "owed", u.since)
	}
	if len(u.keys) == 0 {
		list.remove() // the secondary has answered for them at last
		return
	}
	m.log.Error("keys whose last writes may be lost with the primary that was given up", "instance", dead.String(),
		"keys", len(u.keys), "file", list.path, "error", err)
	for _, k := range u.keys[:min(len(u.keys), shownKeys)] {
		m.log.Error("not settled", "db", k.DB, "key", strconv.Quote(string(k.Key)))
	}
}

// keyList is a file of JSON lines like those of a verify.
type keyList struct {
	path string
	keys int // how many are in it; without any there is no file
}

// write replaces the list. After it returned nil the list outlives a crash of program or machine.
func (l *keyList) write(keys []status.Difference) error {
	if len(keys) == 0 {
		return nil
	}
	temp := l.path + ".tmp"
	err := writeLines(temp, keys)
	if err == nil {
		err = os.Rename(temp, l.path)
	}
	if err != nil {
		_ = os.Remove(temp) // on a full disk its bytes may be the ones that are missing
		return fmt.Errorf("list keys that had not settled: %w", err)
	}
	l.keys = len(keys)
	dir, err := os.Open(filepath.Dir(l.path))
	if err == nil {
		err = dir.Sync()
		_ = dir.Close()
	}
	if err != nil {
		return fmt.Errorf("list keys that had not settled: %w", err)
	}
	return nil
}

// encodeLines writes a line of JSON for each key.
func encodeLines(to io.Writer, keys []status.Difference) error {
	w := bufio.NewWriter(to)
	lines := json.NewEncoder(w)
	for _, k := range keys {
		if err := lines.Encode(k); err != nil {
			return err
		}
	}
	return w.Flush()
}

func writeLines(path string, keys []status.Difference) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = encodeLines(f, keys); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// remove takes it back: nothing was given up.
func (l *keyList) remove() {
	if l.keys > 0 {
		_ = os.Remove(l.path)
		l.keys = 0
	}
}
