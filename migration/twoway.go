package migration

import (
	"errors"
	"fmt"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/instance"
	"tandem/internal/kept"
	"tandem/internal/ledger"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/proxy"
)

// Two-way (listen_target): the target has clients of its own, too, and each of the two servers is kept equal to the other. The
// second listener has a shard of its own, which shares the ledger with the first, and the link has a way back. They are there
// from the start of the backfill on, in which all truth is on the source; when both servers have held the same once, the
// phase becomes two_way by itself, and the second listener lets clients in. It stays two_way, over restarts, until the
// process is started without listen_target. There is no primary to change, so no cutover.

// ErrTwoWay says that a process without listen_target cannot go on where the last one was.
var ErrTwoWay = errors.New("the last process has left the phase two_way with keys whose newest state may be on the target alone")

// twoWayEvery is how often it is looked whether the second listener may open, and which servers are out of reach.
const twoWayEvery = 100 * time.Millisecond

// twoWay is what serves the clients of the target.
type twoWay struct {
	// possible: the phase that the process began in leads to it, or is it. If not, whoever connects is told so.
	possible bool
	shard    *proxy.Shard // nil if it is not possible
	server   *proxy.Server
	// downSince is when a server was seen to be out of reach, by side; zero while it is not. Of the goroutine that follows it.
	downSince [2]time.Time
	// decides: conflicts with that server are decided. The same.
	decides   [2]bool
	conflicts conflicts
}

// twoWay reports whether clients write at both servers, or will.
func (m *Migration) twoWay() bool { return m.two != nil && m.two.possible }

// planTwoWay decides, by what an earlier process has left, whether there may be clients on both servers.
func planTwoWay(listenTarget string, st *state.State, keys *kept.List) (*twoWay, error) {
	if listenTarget == "" {
		return nil, nil
	}
	t := &twoWay{possible: st.Phase != status.Reversed && st.Phase != status.Finished}
	if t.possible && keys != nil && keys.Left() > 0 {
		return nil, errors.New("listen_target: the target's own keys are kept in this migration (duplicates), so that some are others on " +
			"each server: go on without listen_target, or begin anew with duplicates: overwrite")
	}
	return t, nil
}

// settingsOf are the settings of a migration that goes two-way: servers are asked for no reports, which would be of all that
// they are brought from each other.
func (t *twoWay) settingsOf(cfg *config.Config) *config.Config {
	if t == nil || !t.possible {
		return cfg
	}
	c := *cfg
	c.Tracking = "off"
	return &c
}

// leaveTwoWay is what becomes of two-way in a process without listen_target: all clients are the source's again, once the
// source has all that was written at the target.
func (m *Migration) leaveTwoWay() error {
	if m.two != nil || m.state.Phase != status.TwoWay {
		return nil
	}
	if n := m.ledger.Elsewhere(); n > 0 {
		return fmt.Errorf("%w (in %d of %d stripes): start once more with listen_target, wait until status shows no dirty keys and no "+
			"unsettled writes, end it with a signal, and start without listen_target then", ErrTwoWay, n, ledger.Stripes)
	}
	m.state.Phase = status.Synced
	m.log.Info("two-way is over: all clients are the source's")
	return nil
}

// openTwoWay makes the second listener. options are those of the first shard.
func (m *Migration) openTwoWay(options proxy.Options, so proxy.ServerOptions) error {
	t := m.two
	if t == nil {
		return nil
	}
	listener, err := listen(m.cfg.ListenTarget, m.cfg, m.log)
	if err != nil {
		return fmt.Errorf("listen_target: %w", err)
	}
	m.source.NotAt(listener.Addr())
	m.target.NotAt(listener.Addr())
	shard := m.shard
	if t.possible {
		options.At, options.Source = ledger.Secondary, m.target
		t.shard = proxy.NewShard(m.ledger, m.target, instance.Facts{}, 16, options)
		t.shard.Beside(m.shard)
		t.shard.SetScanEpoch(m.state.ScanEpoch)
		shard = t.shard
	}
	so.Refuse = m.refuseTarget
	t.server = proxy.NewServer(shard, listener, so)
	return nil
}

// TargetAddr is where clients of the target connect, empty without listen_target.
func (m *Migration) TargetAddr() string {
	if m.two == nil {
		return ""
	}
	return m.two.server.Addr().String()
}

// refuseTarget says why the second listener lets nobody in, empty if it does.
func (m *Migration) refuseTarget() string {
	switch phase := m.phase(); {
	case phase == status.TwoWay:
		return ""
	case !m.two.possible:
		return "two-way: the phase is " + phase + ", and clients of the target connect to listen; listen_target is for migrations that are not cut over"
	default:
		return "two-way: the target does not hold what the source holds yet, the phase is " + phase + "; connect again when it is two_way"
	}
}

// way is what keeps a server equal to the other, of the two that there are in two-way the one from the target to the source.
type way struct {
	effects *proxy.EffectLane
	copier  *backfill.Copier
}

// newWayBack makes that way.
func (m *Migration) newWayBack() *way {
	w := &way{effects: m.two.shard.NewEffectLane(m.source, m.factsOf(m.source))}
	w.copier = backfill.NewCopier(m.ledger, m.target, m.source, backfill.CopierOptions{
		Name:         m.two.shard.ConnName("copier-back"),
		From:         ledger.Secondary,
		Throttle:     m.throttle,
		BigKeyBytes:  int64(m.cfg.BigKeyBytes),
		DumpBytes:    int64(m.cfg.DumpBytes),
		Shift:        m.two.shard.Shift,
		PrimaryClock: func() time.Duration { return m.factsOf(m.target).ClockOffset },
		Fading:       m.hooks.fading,
		Longest:      w.effects.Longest,
		Log:          m.log,
	})
	return w
}

// reached reports whether both servers were reached on all ways: no connection of an earlier process is alive, and it is
// known what servers they are. The ledger's lock is held.
func (l *link) reached() bool {
	if !l.m.shard.Known() || !l.effects.Up() {
		return false
	}
	return l.back == nil || l.m.two.shard.Known() && l.back.effects.Up()
}

// startEffects begins to connect the effect lanes.
func (l *link) startEffects() {
	l.effects.Start()
	if l.back != nil {
		l.back.effects.Start()
	}
}

// stopEffects ends them.
func (l *link) stopEffects() {
	l.effects.Stop()
	if l.back != nil {
		l.back.effects.Stop()
	}
}

// replicate has the shards forward effects. The ledger's lock is held.
func (l *link) replicate() {
	l.m.shard.Replicate(l.effects)
	if l.back != nil {
		l.m.two.shard.Replicate(l.back.effects)
	}
}

// followTwoWay lets clients in at the target when that may be, and has conflicts decided with a server that is down.
func (m *Migration) followTwoWay() {
	tick := time.NewTicker(twoWayEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done(): // until then clients are drained
			m.two.conflicts.note(m, time.Now())
			return
		case now := <-tick.C:
			m.enterTwoWay()
			m.decideConflicts(now)
			m.two.conflicts.note(m, now)
		}
	}
}

// enterTwoWay lets clients in at the target once both servers have held the same.
func (m *Migration) enterTwoWay() {
	m.mu.Lock()
	synced := m.state.Phase == status.Synced // on disk
	m.mu.Unlock()
	if !synced || m.phase() != status.Synced || m.beginStep() != nil {
		return
	}
	defer m.step.Unlock()
	l := m.linked.Load()
	if m.phase() != status.Synced || l == nil || !m.shard.Look(l.reached) {
		return
	}
	// On disk before the first client comes: a restart must know where the truth of keys may be.
	if err := m.save(func(s *state.State) { s.Phase, s.Plan = status.TwoWay, state.Plan{} }); err != nil {
		return // it says so itself, and is tried again
	}
	m.log.Info("two-way: clients of the target are let in", "listen_target", m.TargetAddr())
}

// decideConflicts tells the ledger what becomes of keys whose last change is on a server that is down alone.
func (m *Migration) decideConflicts(now time.Time) {
	l := m.linked.Load()
	if l == nil {
		return
	}
	defer m.ledger.Enter()()
	gone := [2]bool{m.shard.NoneUp(), m.two.shard.NoneUp()}
	up := [2]bool{l.back.effects.Up(), l.effects.Up()} // by the server that they lead to
	for side := range gone {
		since := &m.two.downSince[side]
		switch {
		case up[side] || !gone[side]:
			if *since = (time.Time{}); m.two.decides[side] {
				m.two.decides[side] = false
				m.ledger.SetConflict(ledger.Side(side), ledger.Wait)
			}
		case since.IsZero():
			*since = now
		case now.Sub(*since) >= m.cfg.TwoWay.DecideAfter && !m.two.decides[side]:
			m.two.decides[side] = true
			m.ledger.SetConflict(ledger.Side(side), conflictWith(m.cfg.TwoWay.Conflict, ledger.Side(side)))
		}
	}
}

// conflictWith is what two_way.conflict means for a server that is down.
func conflictWith(policy string, down ledger.Side) ledger.Conflict {
	switch {
	case policy == "newest":
		return ledger.Newest
	case policy == "source" && down == ledger.Secondary, policy == "target" && down == ledger.Primary:
		return ledger.Overrule
	}
	return ledger.Wait
}

// sideOf is the side of an instance in the ledger of two-way.
func (m *Migration) sideOf(i *instance.Instance) ledger.Side {
	if i == m.source {
		return ledger.Primary
	}
	return ledger.Secondary
}

// compareAgain has all keys compared because of what has happened to a server. lost: it lacks what it had, so the other one
// counts; else that one counts only for what was settled. The ledger's lock is held.
func (m *Migration) compareAgain(i *instance.Instance, why string, keys int, lost bool) {
	m.mu.Lock()
	both := m.state.Phase == status.TwoWay // until then all truth is on the source, whatever the target has of it
	m.mu.Unlock()
	switch {
	case !m.twoWay() || !both:
		m.ledger.OweSweep(why, keys)
		m.ledger.OweEverywhere(why)
	case lost:
		m.ledger.LostData(m.sideOf(i), why)
	default:
		m.ledger.Restarted(m.sideOf(i), why)
	}
}

// errTwoWay refuses a step that there is none of with clients on both servers.
func (m *Migration) errTwoWay(step string) error {
	return &admin.Refused{Message: "there is no " + step + " in two-way: both servers answer clients", Blockers: []status.Blocker{{
		Code: "two_way", Message: "listen_target is set, so clients of both servers write, or will as soon as both hold the same",
		Remedy: "let all clients connect to listen, then restart without listen_target"}}}
}

// eachShard calls f for the shards there are.
func (m *Migration) eachShard(f func(*proxy.Shard)) {
	f(m.shard)
	if m.twoWay() {
		f(m.two.shard)
	}
}

// counts are the totals of both shards.
func (m *Migration) counts() proxy.Counts {
	c := m.shard.Counts()
	if m.twoWay() {
		c = c.Plus(m.two.shard.Counts())
	}
	return c
}

// timings are how long each instance has taken, for the clients of both.
func (m *Migration) timings() (source, target proxy.Timings) {
	source, target = m.shard.Timings()
	if m.twoWay() {
		s, t := m.two.shard.Timings()
		source.Plus(&s)
		target.Plus(&t)
	}
	return source, target
}

// hiddenScripts is how many scripts clients run whose source no server shows.
func (m *Migration) hiddenScripts() (n int) {
	m.eachShard(func(sh *proxy.Shard) { n += sh.HiddenScripts() })
	return n
}

// sessionCount is how many clients are connected, at either listener.
func (m *Migration) sessionCount() int {
	n := m.server.Sessions()
	if m.two != nil {
		n += m.two.server.Sessions()
	}
	return n
}

// twoWayStatus is what is known of it.
func (m *Migration) twoWayStatus(phase string) status.TwoWayStatus {
	s := status.New().TwoWay
	if m.two == nil {
		return s
	}
	switch {
	case !m.two.possible:
		s.State = status.Failed
	case phase == status.TwoWay:
		s.State = status.Running
	}
	s.Sessions = int64(m.two.server.Sessions())
	s.Conflicts, s.List = m.two.conflicts.told()
	return s
}

// blockersOfTwoWay lists what is wrong with the way back, and with the lanes of the target's clients. The ledger's lock is held.
func (m *Migration) blockersOfTwoWay(l *link, add func(code, remedy, format string, args ...any)) {
	if l.back == nil {
		return
	}
	if refusal := l.back.effects.Refusal(); refusal != "" && l.back.effects.Up() {
		add("source_refuses", accepting(refusal), "%s refuses what it is sent: %s", m.source, refusal)
	}
	if problem := m.two.shard.LibrariesProblem(); problem != "" {
		add("functions_missing", "make the source take the target's functions (FUNCTION LIST), or delete them",
			"%s has not the functions of %s: %s", m.source, m.target, problem)
	}
	if silent := max(l.back.effects.SilentFor(), m.two.shard.SilentFor()); silent > 0 {
		add("two_way_silent", "see what it is busy with (its CPU, SLOWLOG, a script), or what is wrong with the network",
			"what belongs to clients of the target was left unanswered for %s", silent.Round(time.Second))
	}
	if why := l.back.copier.Problem(); why != "" && m.two.shard.Connected() {
		add("target_unreadable", reconnecting(m.target, why, "mend what the message says; what was missed is copied then"),
			"keys cannot be read for copying: %s", why)
	}
}
