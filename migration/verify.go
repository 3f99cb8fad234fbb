package migration

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"tandem/backfill"
	"tandem/internal/admin"
	"tandem/internal/status"
)

// maxListed bounds the differences that one verify keeps to be listed, and maxListedBytes what they are made of.
const (
	maxListed      = 100_000
	maxListedBytes = 32 << 20
)

// maxRunning is how many may run at once.
const maxRunning = 4

// keptVerifies is how many are kept with their differences. Those that run are always kept.
const keptVerifies = 5

// verifies are those of this process, the last few with their differences.
type verifies struct {
	mu    sync.Mutex
	all   []*verify
	count int
	ended error // why none may begin any more
}

type verify struct {
	id     string
	opts   admin.VerifyOptions
	run    *backfill.Verify
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	found    []status.Difference
	bytes    int // of found
	count    int64
	state    string
	err      string
	finished time.Time
}

// Verify starts a verify. (admin.Controller)
func (m *Migration) Verify(ctx context.Context, o admin.VerifyOptions) (string, error) {
	l := m.linked.Load()
	if l == nil {
		return "", &admin.Refused{Message: "there is nothing to compare", Blockers: []status.Blocker{{
			Code: "not_replicating", Message: "in phase " + m.phase() + " only one instance is written to",
			Remedy: "start the backfill first"}}}
	}
	mode := backfill.Mode(o.Mode)
	if mode == "" {
		mode = backfill.Full
	}
	if !m.isKnown() {
		return "", admin.ErrPrimaryDown
	}
	v := &verify{opts: o, state: status.Running}
	v.run = backfill.NewVerify(m.ledger, l.primary, l.secondary, backfill.VerifyOptions{
		Name:         m.shard.ConnName("verify"),
		Mode:         mode,
		Repair:       o.Repair,
		Databases:    m.databases(),
		ScanCount:    m.cfg.Backfill.ScanCount,
		Workers:      m.cfg.Verify.Workers,
		TTLTolerance: m.cfg.Verify.TTLTolerance,
		BigKeyBytes:  int64(m.cfg.BigKeyBytes),
		Shift:        m.shard.Shift,
		Report:       v.add,
		Log:          m.log,
	})
	run, cancel := context.WithCancelCause(m.ctx)
	v.cancel = cancel
	if err := m.verifies.begin(v, l, m.linked.Load); err != nil {
		cancel(nil)
		return "", err
	}
	m.log.Info("verify begins", "id", v.id, "mode", mode, "repair", o.Repair)
	m.work.Go(func() {
		defer cancel(nil)
		err := v.run.Run(run)
		v.end(err)
		p := v.run.Progress()
		m.log.Info("verify ended", "id", v.id, "compared", p.Compared, "different", p.Different, "error", v.err)
	})
	return v.id, nil
}

// isKnown reports whether the primary has been reached.
func (m *Migration) isKnown() bool {
	m.ledger.Lock()
	defer m.ledger.Unlock()
	return m.shard.Known()
}

// begin takes v in, unless none may begin or the link it is to compare is no longer the present one.
func (vs *verifies) begin(v *verify, l *link, present func() *link) error {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	switch {
	case vs.ended != nil:
		return errEnding
	case present() != l:
		return &admin.Refused{Message: errSwapped.Error()}
	case vs.running() >= maxRunning:
		return &admin.Refused{Message: "as many comparisons as may run at once are running: wait for one of them"}
	}
	vs.count++
	v.id = strconv.Itoa(vs.count)
	vs.all = append(vs.all, v)
	for i := 0; i < len(vs.all) && len(vs.all) > keptVerifies; {
		if old := vs.all[i]; old.running() {
			i++
		} else {
			vs.all = slices.Delete(vs.all, i, i+1)
		}
	}
	return nil
}

// running is how many run. The lock is held.
func (vs *verifies) running() (n int) {
	for _, v := range vs.all {
		if v.running() {
			n++
		}
	}
	return n
}

// errSwapped ends a verify that compares by roles which are no more.
var errSwapped = errors.New("the roles changed while it ran; start it again")

// stop ends all that run. What they find from now on does not count.
func (vs *verifies) stop(why error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, v := range vs.all {
		if v.running() {
			v.end(why)
			v.cancel(why)
		}
	}
}

// end is stop, and none begins any more.
func (vs *verifies) end(why error) {
	vs.mu.Lock()
	vs.ended = why
	vs.mu.Unlock()
	vs.stop(why)
}

func (v *verify) running() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state == status.Running
}

func (v *verify) add(d status.Difference) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != status.Running {
		return
	}
	v.count++
	// Once one is left out, so are all after it: the list is the first ones.
	full := int64(len(v.found)) < v.count-1 || len(v.found) >= maxListed || v.bytes >= maxListedBytes
	if !full {
		v.bytes += len(d.Key) + len(d.Detail)
		v.found = append(v.found, d)
	}
}

// end notes how it ended, the first time.
func (v *verify) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != status.Running {
		return
	}
	v.state, v.finished = status.Done, time.Now()
	if err != nil {
		v.state, v.err = status.Failed, err.Error()
	}
}

// summary is the verify as it stands.
func (v *verify) summary() status.VerifySummary {
	p := v.run.Progress()
	v.mu.Lock()
	defer v.mu.Unlock()
	return status.VerifySummary{
		ID: v.id, State: v.state, Error: v.err, Mode: v.opts.Mode, Repair: v.opts.Repair,
		Percent: status.Known(p.Percent), Compared: p.Compared, Different: v.count, Listed: int64(len(v.found)),
	}
}

// VerifyResults lists what a verify has found so far. (admin.Controller)
func (m *Migration) VerifyResults(_ context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error) {
	v := m.verifies.find(id)
	if v == nil {
		return status.VerifySummary{}, admin.ErrUnknownVerify
	}
	s := v.summary() // before the list: what it counts is listed
	v.mu.Lock()
	found := v.found[min(from, len(v.found)):]
	v.mu.Unlock()
	for _, d := range found {
		if err := yield(d); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (vs *verifies) find(id string) *verify {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, v := range vs.all {
		if v.id == id {
			return v
		}
	}
	return nil
}

// status is that of the last verify.
func (vs *verifies) status() status.VerifyStatus {
	vs.mu.Lock()
	var v *verify
	if n := len(vs.all); n > 0 {
		v = vs.all[n-1]
	}
	vs.mu.Unlock()
	if v == nil {
		return status.VerifyStatus{State: status.Idle}
	}
	s := v.summary()
	out := status.VerifyStatus{State: s.State, Compared: s.Compared, Different: s.Different}
	v.mu.Lock()
	if !v.finished.IsZero() {
		out.FinishedAt = status.Known(v.finished.UnixMilli())
	}
	v.mu.Unlock()
	return out
}
