package migration

import (
	"context"
	"strconv"
	"sync"
	"time"

	"tandem/backfill"
	"tandem/internal/admin"
	"tandem/internal/status"
)

// maxListed bounds the differences that one verify keeps to be listed.
const maxListed = 100_000

// verifies are those of this process, the last few with their differences.
type verifies struct {
	mu    sync.Mutex
	all   []*verify
	count int
}

type verify struct {
	id     string
	opts   admin.VerifyOptions
	run    *backfill.Verify
	cancel context.CancelFunc

	mu       sync.Mutex
	found    []status.Difference
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
	m.verifies.mu.Lock()
	m.verifies.count++
	v.id = strconv.Itoa(m.verifies.count)
	m.verifies.all = append(m.verifies.all, v)
	if len(m.verifies.all) > 5 {
		m.verifies.all = m.verifies.all[1:]
	}
	m.verifies.mu.Unlock()
	run, cancel := context.WithCancel(m.ctx)
	v.cancel = cancel
	m.work.Go(func() {
		defer cancel()
		err := v.run.Run(run)
		v.end(err)
		p := v.run.Progress()
		m.log.Info("verify ended", "id", v.id, "compared", p.Compared, "different", p.Different, "error", err)
	})
	return v.id, nil
}

func (v *verify) add(d status.Difference) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count++
	if len(v.found) < maxListed {
		v.found = append(v.found, d)
	}
}

func (v *verify) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
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
