package migration

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tandem/backfill"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/status"
)

// maxListed bounds the differences that one verify lists, and maxListedBytes what they are made of.
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

	// What last would have said in the process before this one.
	equalBefore time.Time
	lastBefore  *verifyEnd

	known chan struct{} // closed when it is known which there were before this process

	repaired atomic.Int64 // keys that were made dirty, by all together
	next     atomic.Int64 // when the next begins by itself, Unix ms; 0: never
}

// verify is one verify.
type verify struct {
	vs      *verifies
	id      string
	opts    admin.VerifyOptions
	by      string
	began   time.Time
	primary instance.Role
	run     *backfill.Verify
	cancel  context.CancelCauseFunc

	files verifyFiles // with a lock of their own, which is taken before mu

	mu       sync.Mutex // never held over a write to a file: a swap that holds clients waits for it
	found    []status.Difference
	bytes    int // of found
	count    int64
	state    string
	ended    error // why it failed
	finished time.Time
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
	if v.id == "" {
		vs.count++
		v.id = strconv.Itoa(vs.count)
	}
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

// anyRuns reports whether one runs.
func (vs *verifies) anyRuns() bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.running() > 0
}

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
	out := status.VerifyStatus{State: status.Idle}
	if v != nil {
		s := v.summary()
		out = status.VerifyStatus{State: s.State, ID: s.ID, Mode: s.Mode, Percent: s.Percent, Compared: s.Compared, Kept: s.Kept, Staying: s.Staying, Different: s.Different,
			AtMostDifferent: s.AtMostDifferent}
		v.mu.Lock()
		if !v.finished.IsZero() {
			out.FinishedAt = status.Known(v.finished.UnixMilli())
		}
		v.mu.Unlock()
	}
	if next := vs.next.Load(); next > 0 {
		out.NextAt = status.Known(next)
	}
	return out
}

func (v *verify) running() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state == status.Running
}

// add takes a difference that was found.
func (v *verify) add(d status.Difference) {
	v.files.mu.Lock()
	defer v.files.mu.Unlock()
	if v.list(d) {
		v.files.append(d)
	}
}

// list counts a difference, and reports whether it is in the list as well.
func (v *verify) list(d status.Difference) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != status.Running {
		return false
	}
	if v.opts.Repair {
		v.vs.repaired.Add(1)
	}
	v.count++
	// Once one is left out, so are all after it: the list is the first ones.
	full := int64(len(v.found)) < v.count-1 || len(v.found) >= maxListed || v.bytes >= maxListedBytes
	if !full {
		v.bytes += len(d.Key) + len(d.Detail)
		v.found = append(v.found, d)
	}
	return !full
}

// end notes how it ended, the first time.
func (v *verify) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != status.Running {
		return
	}
	v.state, v.finished, v.ended = status.Done, time.Now(), err
	if err != nil {
		v.state = status.Failed
	}
}

// why is the reason for which it failed.
func (v *verify) why() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended
}

// summary is the verify as it stands.
func (v *verify) summary() status.VerifySummary {
	p := v.run.Progress()
	v.mu.Lock()
	defer v.mu.Unlock()
	s := status.VerifySummary{
		ID: v.id, State: v.state, Mode: v.opts.Mode, Repair: v.opts.Repair,
		Percent: status.Known(p.Percent), Compared: p.Compared, Kept: p.Kept, Staying: p.Staying, Unheld: p.Unheld, Different: v.count, Listed: int64(len(v.found)), File: v.files.listed(),
	}
	if v.ended != nil {
		s.Error = v.ended.Error()
	}
	if s.State == status.Running && p.State == status.Paused {
		s.State = status.Paused
	}
	if s.Mode == admin.VerifySample && p.Compared > 0 {
		s.AtMostDifferent = status.Known(backfill.AtMost(p.Compared, p.DifferentValues))
	}
	return s
}
