package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/precheck"
	"tandem/internal/status"
)

// The gates: what stands in the way of a cutover although both servers hold the same. Clients would be worse off with
// the target, or nobody knows whether it is as it should be. Each can be forced by its name, for no write is lost by that.
const (
	verifyDifferent = "verify_different"
	verifyMissing   = "verify_missing"
	targetUsers     = "target_users"
	targetFull      = "target_full"
	targetEvicts    = "target_evicts"
	targetSlow      = "target_slow"
)

// forceable are the blockers that --force passes over: the gates, and those who write past Tandem and are known to somebody.
// Of the others each would lose writes, or cannot be done.
var forceable = []string{foreignWriters, verifyDifferent, verifyMissing, targetUsers, targetFull, targetEvicts, targetSlow}

// usersEvery is how often the users of both servers are compared while a cutover may come.
const usersEvery = time.Minute

// without leaves out the blockers that are forced, names with commas in between. The error says which of these cannot be.
func without(blockers []status.Blocker, force string) ([]status.Blocker, error) {
	if force == "" {
		return blockers, nil
	}
	names := strings.Split(force, ",")
	var left []status.Blocker
	for _, b := range blockers {
		switch {
		case !slices.Contains(names, b.Code):
			left = append(left, b)
		case !slices.Contains(forceable, b.Code):
			return blockers, &admin.Refused{Message: b.Code + " cannot be forced: writes would be lost, or there is no way", Blockers: blockers}
		}
	}
	return left, nil
}

// gates are the blockers of that kind, as far as they are known: a look at the servers keeps them so.
func (m *Migration) gates() []status.Blocker {
	var list []status.Blocker
	add := func(code, remedy, format string, args ...any) {
		list = append(list, status.Blocker{Code: code, Message: fmt.Sprintf(format, args...),
			Remedy: remedy + "; or cutover --force " + code})
	}
	equal, v := m.verifies.last()
	switch limit := m.live().Cutover.RequireVerify; {
	case v != nil && v.count > 0:
		add(verifyDifferent, "find out why; then tandem verify --repair, and once more tandem verify",
			"the last verify (%s) has found %d keys that differ", v.finished.Format(time.DateTime), v.count)
	case limit > 0 && equal.IsZero():
		add(verifyMissing, "tandem verify", "no full verify has found both servers equal, and cutover.require_verify is %s", limit)
	case limit > 0 && time.Since(equal) > limit:
		add(verifyMissing, "tandem verify", "the last full verify that has found both servers equal ended at %s, longer ago than cutover.require_verify (%s)",
			equal.Format(time.DateTime), limit)
	}

	m.mu.Lock()
	source, target := *m.seen[instance.Source], *m.seen[instance.Target]
	users := m.users
	m.mu.Unlock()
	if users.Status == precheck.Warning {
		add(targetUsers, users.Remedy, "clients log in as users of the target after a cutover: %s", users.Found)
	}
	if !target.known || !source.known {
		return list
	}
	f := target.facts
	switch evicts := evicting(f); {
	case f.MaxMemory > 0 && !evicts && f.UsedMemory > f.MaxMemory/100*int64(m.live().Cutover.MaxMemoryPercent):
		add(targetFull, "raise its maxmemory", "the target uses %d MiB of the %d MiB of its maxmemory, more than cutover.max_memory_percent (%d)",
			f.UsedMemory>>20, f.MaxMemory>>20, m.live().Cutover.MaxMemoryPercent)
	case evicts && !evicting(source.facts) && !m.accepted("target_eviction"):
		add(targetEvicts, "CONFIG SET maxmemory-policy noeviction there, or accept the warning target_eviction (precheck.accept)",
			"the target evicts keys when it is full (%s at %d MiB), and the source does not", f.MaxMemoryPolicy, f.MaxMemory>>20)
	}
	// The best of some exchanges: what the network and the server take when nothing is in the way.
	if trip, limit := 2*f.ClockError, m.live().Cutover.MaxTargetLatency; limit > 0 && trip > limit {
		add(targetSlow, "see what the target is busy with, or run Tandem nearer to it", "the target takes %s to answer, longer than cutover.max_target_latency (%s)",
			trip.Round(time.Millisecond), limit)
	}
	return list
}

// evicting reports whether a server removes keys when it is full.
func evicting(f instance.Facts) bool {
	return f.MaxMemoryPolicy != "" && f.MaxMemoryPolicy != "noeviction" && f.MaxMemory > 0
}

// accepted reports whether a warning of the precheck is accepted in the configuration.
func (m *Migration) accepted(name config.CheckName) bool {
	return slices.Contains(m.cfg.Precheck.Accept, name)
}

// lookAtUsersAgain compares the users of both servers if that was last done longer ago than usersEvery, and they are
// there.
func (m *Migration) lookAtUsersAgain() {
	if m.phase() != status.Synced {
		return
	}
	m.mu.Lock()
	due := time.Since(m.usersAt) >= usersEvery && m.seen[instance.Source].up && m.seen[instance.Target].up
	m.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, lookEvery)
	defer cancel()
	m.lookAtUsers(ctx)
}

// lookAtUsers compares the users of both servers, if clients log in as such.
func (m *Migration) lookAtUsers(ctx context.Context) {
	if m.cfg.Auth.Mode != "server" || m.accepted(targetUsers) {
		return
	}
	item, ok, err := precheck.RunOne(ctx, m.source, m.target, precheck.Options{}, targetUsers)
	if err != nil || !ok {
		return // a server is out of reach, which is a blocker itself
	}
	if strings.HasPrefix(item.Found, "ACL LIST is refused") {
		item = precheck.Item{} // nobody can tell, and the precheck has said so
	}
	m.mu.Lock()
	m.users, m.usersAt = item, time.Now()
	m.mu.Unlock()
}

// lookBeforeCutover has all gates as they are now, as far as the servers answer.
func (m *Migration) lookBeforeCutover(ctx context.Context) {
	ctx, cancel := m.stepContext(ctx)
	defer cancel()
	for _, i := range []*instance.Instance{m.source, m.target} {
		if facts, err := i.Facts(ctx); err == nil {
			m.note(i, facts)
		}
	}
	m.lookAtUsers(ctx)
}

// last is when the last full verify ended that has found no difference (zero if none has), and the last one of all that
// has ended and compared something to the end, nil if there is none. What one has found stands until a full one finds nothing.
func (vs *verifies) last() (equal time.Time, last *verifyEnd) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	equal, last = vs.equalBefore, vs.lastBefore
	for _, v := range vs.all {
		v.mu.Lock()
		if v.state == status.Done {
			full := v.opts.Mode == "" || v.opts.Mode == admin.VerifyFull
			last = last.then(verifyEnd{finished: v.finished, count: v.count}, full)
			if v.count == 0 && full {
				equal = v.finished
			}
		}
		v.mu.Unlock()
	}
	return equal, last
}

// verifyEnd is what a verify has come to.
type verifyEnd struct {
	finished time.Time
	count    int64 // of differences
}

// then is what counts when another one has ended: that one, unless it has not compared all that an earlier one has found
// to differ.
func (e *verifyEnd) then(next verifyEnd, full bool) *verifyEnd {
	if e != nil && e.count > 0 && next.count == 0 && !full {
		return e
	}
	return &next
}
