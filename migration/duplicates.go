package migration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/crashpoint"
	"tandem/internal/glob"
	"tandem/internal/instance"
	"tandem/internal/kept"
	"tandem/internal/ledger"
	"tandem/internal/moves"
	"tandem/internal/precheck"
	"tandem/internal/state"
	"tandem/internal/status"
)

// Keys that the target holds before the migration are decided about once, by its state before anything is copied: while
// clients are still served by the source alone, the target's keys are walked through. What is to stay there goes on the
// list of kept keys (package kept), which is on disk before the phase is backfill, and so before the first copy and the
// first effect. So no restart can take for a key of the target what Tandem itself has written there.

const (
	// keptFile is the name of the list of kept keys in the state directory.
	keptFile = "kept"
	// duplicatesFile is the name of the file there that names all of the target's keys and what becomes of them.
	duplicatesFile = "duplicates.jsonl"
	// shownDuplicates is how many of those that must not be there are shown by name.
	shownDuplicates = 5
)

// decided is what was decided about the target's keys.
type decided struct {
	precheck.Duplicates
	byAge int64
	list  *kept.List // nil: none are kept
}

// discard gives up what a start has made that does not come about. The file with the names stays, for who asks why.
func (d *decided) discard(m *Migration) {
	if d.list == nil {
		return
	}
	_ = d.list.Close()
	if err := kept.Remove(m.dir.File(keptFile)); err != nil {
		m.log.Warn("a list that is not used was left behind", "error", err)
	}
}

// forState is what the state file keeps of it.
func (d *decided) forState() state.Duplicates {
	s := state.Duplicates{Found: d.Found, Skipped: d.Skipped, Overwritten: d.Overwritten, Removed: d.Removed,
		TargetOnly: d.TargetOnly, ByAge: d.byAge, List: d.List}
	if d.list != nil {
		s.Kept = int64(d.list.Left())
	}
	return s
}

// asksAge reports whether a policy asks when keys were used last.
func asksAge(cfg *config.Config) bool {
	return cfg.Duplicates == string(backfill.PolicyNewest) || slices.ContainsFunc(cfg.DuplicatesByPattern,
		func(r config.DuplicatesRule) bool { return r.Policy == string(backfill.PolicyNewest) })
}

// policyOf returns the policy of each key.
func policyOf(cfg *config.Config) func(key string) backfill.Policy {
	return func(key string) backfill.Policy {
		for _, r := range cfg.DuplicatesByPattern {
			if glob.Match(r.Pattern, key) {
				return backfill.Policy(r.Policy)
			}
		}
		return backfill.Policy(cfg.Duplicates)
	}
}

// LookAtDuplicates returns what a precheck asks when the target holds keys: what would become of them.
func LookAtDuplicates(cfg *config.Config, source, target *instance.Instance, log *slog.Logger) func(context.Context) (*precheck.Duplicates, error) {
	return func(ctx context.Context) (*precheck.Duplicates, error) {
		var d decided
		err := d.walk(ctx, cfg, source, target, backfill.DuplicatesOptions{Log: log}, func(backfill.Decision) error { return nil })
		return &d.Duplicates, err
	}
}

// isOwn reports whether a key is one that Tandem itself leaves on a server.
func isOwn(key string) bool { return precheck.IsScratch(key) || instance.IsTemporaryKey(key) }

// walk decides about each of the target's keys and counts, and has note keep the decision.
func (d *decided) walk(ctx context.Context, cfg *config.Config, source, target *instance.Instance, o backfill.DuplicatesOptions,
	note func(backfill.Decision) error) error {
	for _, i := range []*instance.Instance{source, target} {
		facts, err := i.Facts(ctx)
		if err != nil {
			return err
		}
		o.Databases = max(o.Databases, facts.Databases)
	}
	o.Moves, o.ScanCount = moves.New(cfg.Moves()), cfg.Backfill.ScanCount
	o.Policy, o.TargetOnly, o.Except = policyOf(cfg), cfg.TargetOnly, isOwn
	o.Decided = func(x backfill.Decision) error {
		d.count(x)
		return note(x)
	}
	return backfill.DecideDuplicates(ctx, source, target, o)
}

func (d *decided) count(x backfill.Decision) {
	d.Found++
	if !x.OnSource {
		d.TargetOnly++
	} else if x.Policy == backfill.PolicyNewest {
		d.byAge++
	}
	switch x.Fate {
	case backfill.Skipped:
		d.Skipped++
	case backfill.Overwritten:
		d.Overwritten++
	case backfill.Removed:
		d.Removed++
	case backfill.Refused:
		d.Refused++
		if !x.OnSource {
			d.RefusedOnly++
		}
		if len(d.Sample) < shownDuplicates {
			d.Sample = append(d.Sample, fmt.Sprintf("%s (db%d)", strconv.Quote(x.Key), x.DB))
		}
	}
}

// decide walks through the target's keys, and writes down what becomes of them: all in a file to be read, and those that
// are kept in the list.
func (m *Migration) decide(ctx context.Context, forced bool) (d *decided, err error) {
	builder, err := kept.Build(m.dir.File(keptFile), m.keptOptions())
	if err != nil {
		return nil, err
	}
	names, err := newNameList(m.dir.File(duplicatesFile))
	if err != nil {
		builder.Abandon()
		return nil, err
	}
	m.log.Info("looking through the target's keys", "policy", m.cfg.Duplicates, "patterns", len(m.cfg.DuplicatesByPattern))
	d = &decided{}
	o := backfill.DuplicatesOptions{Name: m.shard.ConnName("duplicates"), Forced: forced, Log: m.log}
	err = d.walk(ctx, m.cfg, m.source, m.target, o, func(x backfill.Decision) error {
		if err := names.add(x); err != nil || x.Fate != backfill.Skipped {
			return err
		}
		kind := kept.Kept
		if !x.OnSource && (x.Policy == backfill.PolicyError || x.Policy == backfill.PolicyOverwrite) {
			kind = kept.Alone // should the source come to have it, that one counts
		}
		return builder.Add(kept.Entry{Hash: kept.Hash(m.ledger.Hash(x.DB, []byte(x.Key))), DB: int32(x.DB), Kind: kind})
	})
	if err = errors.Join(err, names.close(err == nil)); err != nil {
		builder.Abandon()
		return nil, err
	}
	if d.Found > 0 {
		d.List = names.path
	}
	if d.Refused > 0 {
		builder.Abandon()
		return d, nil
	}
	if d.list, err = builder.Finish(); err != nil {
		return nil, err
	}
	m.log.Info("decided about the target's keys", "found", d.Found, "kept", d.Skipped, "overwritten", d.Overwritten, "removed", d.Removed,
		"file", d.List)
	return d, nil
}

// keptOptions say what a list of kept keys must be to be believed.
func (m *Migration) keptOptions() kept.Options {
	return kept.Options{ID: m.id, Check: m.ledger.Hash(0, []byte("kept")).Hi}
}

// openKept opens the list of kept keys that the state speaks of.
func (m *Migration) openKept(h ledger.Hasher, st *state.State) error {
	if st.Duplicates.Kept == 0 || !m.replicates() {
		return nil
	}
	list, err := kept.Open(m.dir.File(keptFile), kept.Options{ID: m.id, Check: h.Sum(0, []byte("kept")).Hi})
	if err != nil {
		return fmt.Errorf("%w; without it nobody knows which %d keys of the target are to be kept: put it back, or begin anew with "+
			"another state directory", err, st.Duplicates.Kept)
	}
	m.kept = list
	return nil
}

// setKept gives the ledger the list of kept keys, if there is one. The ledger's lock is held, or nothing runs yet.
func (m *Migration) setKept(list *kept.List, onPrimary bool) {
	m.kept = list
	if list == nil {
		return
	}
	m.ledger.SetKept(list, onPrimary, m.wantKeptSynced)
}

// keptPatience is how long the first writes to kept keys wait for the disk at most.
const keptPatience = time.Second

var errSlowDisk = fmt.Errorf("the disk has not answered for %v", keptPatience)

// syncKept brings to disk which keys have left the list, whenever writes wait for that. They do not wait for a disk that
// fails, or does not answer: its trouble is not the clients'. After a loss of power in that time, keys that they have
// written to since could count as kept once more.
func (m *Migration) syncKept() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.keptNow:
		}
		m.ledger.Lock()
		list, asked := m.kept, m.ledger.KeptAsked()
		m.ledger.Unlock()
		synced := make(chan error, 1)
		m.work.Go(func() {
			if m.hooks.syncKept != nil {
				if err := m.hooks.syncKept(); err != nil {
					synced <- err
					return
				}
			}
			synced <- list.Sync()
		})
		m.awaitKept(synced, asked)
	}
}

// awaitKept lets the writes go that wait for the list to be on disk up to asked, at the latest when patience ends; from then
// on, until the disk answers, all others at once.
func (m *Migration) awaitKept(synced <-chan error, asked uint64) {
	patience := time.NewTimer(keptPatience)
	defer patience.Stop()
	var more, stopped <-chan struct{} // nil: as long as there is patience
	for {
		select {
		case err := <-synced:
			m.keptSynced(asked, err)
			if more != nil {
				m.wantKeptSynced() // what has left the list since is not on disk
			}
			return
		case <-stopped:
			return
		case <-patience.C:
			more, stopped = m.keptNow, m.ctx.Done()
			m.keptIsSlow()
		case <-more:
			m.keptIsSlow()
		}
	}
}

// keptIsSlow lets all writes go that wait now.
func (m *Migration) keptIsSlow() {
	m.ledger.Lock()
	asked := m.ledger.KeptAsked()
	m.ledger.Unlock()
	m.keptSynced(asked, errSlowDisk)
}

// syncKeptAgain brings to disk what could not be brought there.
func (m *Migration) syncKeptAgain() {
	m.mu.Lock()
	unsynced := m.keptUnsynced != ""
	m.mu.Unlock()
	if unsynced {
		m.wantKeptSynced()
	}
}

// wantKeptSynced has the list brought to disk. It does not block.
func (m *Migration) wantKeptSynced() {
	select {
	case m.keptNow <- struct{}{}:
	default:
	}
}

// keptSynced lets the writes go, and says so if the list is not on disk.
func (m *Migration) keptSynced(asked uint64, err error) {
	crashpoint.Reach(crashpoint.KeptSynced)
	m.mu.Lock()
	was := m.keptUnsynced
	if m.keptUnsynced = ""; err != nil {
		m.keptUnsynced = err.Error()
	}
	m.mu.Unlock()
	if err != nil && was == "" {
		m.log.Error("the list of kept keys cannot be written", "file", m.dir.File(keptFile), "error", err)
	}
	defer m.ledger.Enter()()
	m.ledger.KeptSynced(asked)
}

// lookAtKept notices when somebody else has changed the file.
func (m *Migration) lookAtKept() error {
	m.ledger.Lock()
	list := m.kept
	m.ledger.Unlock()
	if list == nil {
		return nil
	}
	return list.Look()
}

// closeKept brings the list to disk when nothing runs any more.
func (m *Migration) closeKept() error {
	if m.kept == nil {
		return nil
	}
	return m.kept.Close()
}

// duplicates is what status says of the target's keys.
func (m *Migration) duplicates() status.DuplicatesStatus {
	m.mu.Lock()
	d := m.state.Duplicates
	m.mu.Unlock()
	m.ledger.Lock()
	defer m.ledger.Unlock()
	return status.DuplicatesStatus{Found: d.Found, Overwritten: d.Overwritten, Skipped: d.Skipped, Removed: d.Removed,
		TargetOnly: d.TargetOnly, ByAge: d.ByAge, Kept: int64(m.ledger.Kept()), List: d.List}
}

// nameList is the file that names the target's keys, as JSON lines. It replaces an older one when it is complete.
type nameList struct {
	path  string
	f     *os.File
	w     *bufio.Writer
	lines *json.Encoder
}

func newNameList(path string) (*nameList, error) {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("list the target's keys: %w", err)
	}
	w := bufio.NewWriterSize(f, 256<<10)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return &nameList{path: path, f: f, w: w, lines: lines}, nil
}

func (n *nameList) add(x backfill.Decision) error {
	err := n.lines.Encode(status.Duplicate{Key: []byte(x.Key), DB: x.DB, Policy: string(x.Policy), Decision: string(x.Fate), Why: x.Why})
	if err != nil {
		return fmt.Errorf("list the target's keys: %w", err)
	}
	return nil
}

// close ends the list; one that is not complete is removed.
func (n *nameList) close(complete bool) error {
	err := n.w.Flush()
	if err == nil && complete {
		err = n.f.Sync()
	}
	err = errors.Join(err, n.f.Close())
	if err == nil && complete {
		err = os.Rename(n.path+".tmp", n.path)
	} else {
		_ = os.Remove(n.path + ".tmp")
	}
	if err != nil {
		return fmt.Errorf("list the target's keys: %w", err)
	}
	return nil
}
