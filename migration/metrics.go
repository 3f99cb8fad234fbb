package migration

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"tandem/internal/ledger"
	"tandem/internal/status"
	"tandem/proxy"
)

// The metrics. Everything is counted where it happens, in plain numbers under locks that are held anyway,
// and read when somebody asks: a scrape costs what it costs, a command nothing.
var (
	mCommands    = desc("commands_total", "Commands answered by the primary.")
	mWrites      = desc("writes_total", "Commands answered by the primary that may change data.")
	mSessions    = desc("sessions", "Connected clients.")
	mAccepted    = desc("sessions_accepted_total", "Clients that have connected.")
	mClosed      = desc("sessions_closed_total", "Clients whose connection ended, by reason.", "reason")
	mHeld        = desc("sessions_held_bytes", "Parts of commands, queued transactions and unread replies of all clients.")
	mPhase       = desc("phase", "1 for the present phase, 0 for the others.", "phase")
	mPrimary     = desc("primary", "1 for the instance that answers clients.", "instance")
	mConnected   = desc("instance_connected", "Whether the instance can be reached.", "instance")
	mClock       = desc("instance_clock_offset_seconds", "The instance's clock minus ours.", "instance")
	mLanesLost   = desc("lanes_lost_total", "Connections to the primary that broke.")
	mForwarded   = desc("effects_forwarded_total", "Effects handed to the secondary's lane.")
	mDropped     = desc("effects_dropped_total", "Effects that the secondary's lane did not take or lost; their keys are copied.")
	mMismatched  = desc("effects_mismatched_total", "Effects answered otherwise than they should be, by command; their keys are copied.", "command")
	mEdges       = desc("effects_at_expiry_total", "Effects that met a key about to expire, or one missing that may have expired, and what they led to; their keys are copied.")
	mUnsettled   = desc("unsettled_writes", "Writes whose effect the secondary has not acknowledged.")
	mLagBytes    = desc("lag_bytes", "Effects that wait for the secondary.")
	mLag         = desc("lag_seconds", "Age of the oldest effect that the secondary has not acknowledged.")
	mDirty       = desc("dirty_keys", "Keys whose copy is owed, or that no sweep has looked at yet.")
	mCopies      = desc("copies_total", "Copies acknowledged by the secondary.")
	mRaces       = desc("copy_races_total", "Copies thrown away because of a newer write.")
	mCopyFailed  = desc("copies_failed_total", "Copies refused by the secondary.")
	mTyped       = desc("copies_typed_total", "Copies made piece by piece and not by DUMP, in this direction; they are among the others.")
	mFading      = desc("field_expiry_lost_keys", "Hashes with fields that expire, on a secondary that has no expiry of fields; 100,000 are known at most.")
	mWaits       = desc("writes_waited_total", "Writes that waited for another lane.")
	mOverflows   = desc("dirty_overflows_total", "Times the dirty set passed its bound, and a sweep was owed instead.")
	mUnkeyed     = desc("writes_unkeyed_total", "Writes whose keys could not be told.")
	mHidden      = desc("scripts_hidden", "Scripts that clients run by their hash and whose source the server does not show; 256 are counted at most.")
	mAckTimeouts = desc("ack_timeouts_total", "Answers that waited ack_timeout for the secondary in vain.")
	mListening   = desc("tracking_listening", "1 while the primary reports what others change.")
	mForeign     = desc("foreign_writes_total", "Writes reported that bypassed the proxy.")
	mFlushes     = desc("foreign_flushes_total", "Times that others were reported to have emptied a database.")
	mStrangers   = desc("foreign_connections", "Connections that bypass the proxy and use keys, by what their last command does: reads or writes.", "instance", "use")
	mWarnings    = desc("warnings", "Warnings in the status.")
	mScanned     = desc("backfill_keys_scanned", "Keys that the present sweep has looked at.")
	mCopied      = desc("backfill_keys_copied", "Keys that the present sweep has copied.")
	mTotal       = desc("backfill_keys_expected", "Keys that the present sweep has to look at, as estimated.")
	mBytes       = desc("backfill_copied_bytes", "Payload bytes that the present sweep has copied.")
	mLimitKeys   = desc("backfill_limit_keys_per_second", "The most keys that may be copied per second now; 0 without a limit.")
	mLimitBytes  = desc("backfill_limit_bytes_per_second", "The most bytes of values that may be copied per second now; 0 without a limit.")
	mGoverned    = desc("governor_keys_per_second", "The speed that the governor allows; 0 while it has nothing to slow down, or is off.")
	mSlowed      = desc("governor_slowed_total", "Times that the governor has made copying slower.")
	mLatency     = desc("governor_latency_seconds", "What 99 % of the clients' commands did not exceed, while keys are copied (now) and without (usual).", "when")
	mWindow      = desc("backfill_window_open", "0 while no window of the day lets sweeps run, else 1.")
	mPause       = desc("cutover_pause_seconds", "How long commands were held by the last cutover or rollback.")
	mErrors      = desc("commands_failed_total", "Commands of clients that were answered with an error, whatever for.")
	mLate        = desc("commands_late_total", "Commands that took longer than cutover.trial.max_latency; 0 where no trial is set.")
	mTrials      = desc("cutover_trials_failed_total", "Times that clients fared so badly with the target after a cutover that a rollback began by itself.")
	mMarked      = desc("intent_marked_stripes", "Stripes of the keyspace, of 1048576, whose keys a crash now would have copied again.")
	mEverything  = desc("intent_everything", "1 while a crash now would have all keys compared.")
	mResumed     = desc("resumed_stripes", "Stripes whose keys this process had to copy again because the last one ended before they had settled.")
	mDuplicates  = desc("duplicates", "Keys that the target held before the migration, by what was decided about them.", "decision")
	mKept        = desc("kept_keys", "Keys of the target that are kept: no client has written to them.")
	mDifferent   = desc("verify_differences", "Differences found by the last verify.")
	mShadow      = desc("shadow_reads_total", "Clients' reads that were chosen to be sent to the secondary too, by what became of them: same, different, skipped.", "result")
	mHookTold    = desc("hook_events_delivered_total", "Events that a hook has taken, by its host or program.", "hook")
	mHookFailed  = desc("hook_events_failed_total", "Events that a hook was not told of: nobody took them in time, or they did not fit into its queue.", "hook")
	mHookTries   = desc("hook_attempts_failed_total", "Attempts to tell a hook of an event that failed.", "hook")
	mBuild       = desc("build_info", "1; what this process was built of.", "goversion", "version")
	mAnswered    = desc("command_duration_seconds", "How long clients' commands took, without such as block, from when they were put on their way until the answer was there, by the instance that answered and the class of command: read, write, script, transaction, other. Every command is counted, by a clock that is read once for all that have come together.", "instance", "class")
	mSettled     = desc("effect_duration_seconds", "How long effects took from when they were handed to the secondary's lane until it had acknowledged them.", "instance")
	mConflicts   = desc("two_way_conflicts_total", "Keys that had changed on one server alone, which was out of reach, by the server for which they were decided.", "decided")
	mTraced      = desc("trace_commands_total", "Commands chosen to be told to the collector of traces, by what became of them: sent, left_out (the queue was full), failed (the collector has not taken them).", "result")
	mBlockers    = desc("blockers", "What stands in the way of the next step, as in the status, by its code; copy_failing counts keys, 20 at most.", "code")
	mEvents      = desc("events_total", "Events of the journal since the process began, as hooks are told of them.", "kind", "name", "state")
	mAuditLines  = desc("audit_lines_total", "Lines of the audit log that are on the disk.")
	mAuditFailed = desc("audit_failed_total", "Lines that could not be written to the audit log; the log has them.")
	mAuditOK     = desc("audit_writable", "0 after a line could not be written to the audit log, until one can; only where audit.file is set.")
	mCompared    = desc("verify_keys_compared", "Keys compared by the last verify.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tandem_"+name, help, labels, nil)
}

// Describe sends nothing: labels come and go with commands. (prometheus.Collector)
func (m *Migration) Describe(chan<- *prometheus.Desc) {}

// Collect sends all metrics. (prometheus.Collector)
func (m *Migration) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		send(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }

	s, counts := m.Status(), m.counts()
	m.ledger.Lock()
	stats := m.ledger.Stats()
	marked, everything := m.ledger.MarkedStripes()
	m.ledger.Unlock()
	m.mu.Lock()
	resumed := m.resumed.Stripes
	m.mu.Unlock()

	timed := func(d *prometheus.Desc, t *proxy.Timing, labels ...string) {
		if t.Count() > 0 {
			out <- histogram{d, t, labels, m.began}
		}
	}
	source, target := m.timings()
	for role, times := range map[string]*proxy.Timings{"source": &source, "target": &target} {
		for class := range times.Commands {
			timed(mAnswered, &times.Commands[class], role, proxy.CommandKind(class).String())
		}
		timed(mSettled, &times.Effects, role)
	}
	gauge(mBuild, 1, runtime.Version(), m.Version)
	count(mCommands, counts.Commands)
	count(mWrites, counts.Writes)
	count(mUnkeyed, counts.Unkeyed)
	count(mErrors, counts.Errors)
	count(mLate, counts.Late)
	m.mu.Lock()
	trials := m.trial.failed
	m.mu.Unlock()
	count(mTrials, trials)
	gauge(mHidden, float64(m.hiddenScripts()))
	count(mLanesLost, counts.LanesLost)
	count(mAckTimeouts, counts.AckTimeouts)
	for command, n := range counts.MismatchedBy {
		count(mMismatched, n, command)
	}
	count(mForwarded, stats.Forwarded)
	count(mDropped, stats.Dropped)
	count(mEdges, stats.Edges)
	count(mCopies, stats.Copied)
	count(mRaces, stats.Races)
	count(mCopyFailed, stats.Failed)
	count(mWaits, stats.Waits)
	count(mOverflows, stats.Overflows)

	if l := m.linked.Load(); l != nil {
		typed := l.copier.Stats().Typed
		if l.back != nil {
			typed += l.back.copier.Stats().Typed
		}
		count(mTyped, typed)
		fading, _, _ := l.copier.FieldExpiryLost()
		gauge(mFading, float64(fading))
	}

	gauge(mSessions, float64(s.Sessions))
	held, accepted, closed := m.server.Held(), m.server.Accepted(), m.server.Closed
	if m.two != nil {
		two := m.two.server
		held, accepted = held+two.Held(), accepted+two.Accepted()
		closed = func(r proxy.CloseReason) uint64 { return m.server.Closed(r) + two.Closed(r) }
		decided := m.two.conflicts.byDecision()
		count(mConflicts, uint64(decided[ledger.Primary]), "source")
		count(mConflicts, uint64(decided[ledger.Secondary]), "target")
	}
	gauge(mHeld, float64(held))
	count(mAccepted, accepted)
	for _, r := range proxy.CloseReasons() {
		count(mClosed, closed(r), r.String())
	}
	for _, p := range []string{status.Passthrough, status.Backfill, status.Synced, status.TwoWay, status.Reversed, status.Finished} {
		gauge(mPhase, truth(p == s.Phase), p)
	}
	for role, i := range map[string]status.InstanceStatus{"source": s.Source, "target": s.Target} {
		gauge(mPrimary, truth(role == s.Primary), role)
		gauge(mConnected, truth(i.Connected), role)
		if ms, ok := i.ClockOffsetMs.Get(); ok {
			gauge(mClock, ms/1000, role)
		}
	}
	gauge(mUnsettled, float64(s.UnsettledWrites))
	gauge(mLagBytes, float64(s.LagBytes))
	if ms, ok := s.LagMs.Get(); ok {
		gauge(mLag, ms/1000)
	}
	gauge(mDirty, float64(s.DirtyKeys))
	gauge(mListening, truth(s.Tracking.State == status.Running))
	writes, _ := s.Tracking.ForeignWrites.Get()
	count(mForeign, uint64(writes))
	count(mFlushes, uint64(s.Tracking.ForeignFlushes))
	for role, n := range m.strangersCount() {
		gauge(mStrangers, float64(n[0]), role, "reads")
		gauge(mStrangers, float64(n[1]), role, "writes")
	}
	gauge(mWarnings, float64(len(s.Warnings)))
	gauge(mScanned, float64(s.Backfill.KeysScanned))
	gauge(mCopied, float64(s.Backfill.KeysCopied))
	if n, ok := s.Backfill.KeysTotal.Get(); ok {
		gauge(mTotal, float64(n))
	}
	gauge(mBytes, float64(s.Backfill.BytesCopied))
	keysPerS, _ := s.Throttle.KeysPerS.Get()
	gauge(mLimitKeys, float64(keysPerS))
	bytesPerS, _ := s.Throttle.BytesPerS.Get()
	gauge(mLimitBytes, float64(bytesPerS))
	governed, _ := s.Throttle.GovernorKeysPerS.Get()
	gauge(mGoverned, float64(governed))
	count(mSlowed, uint64(s.Throttle.Slowed))
	for when, ms := range map[string]status.Optional[float64]{"now": s.Throttle.LatencyMs, "usual": s.Throttle.UsualLatencyMs} {
		if ms, ok := ms.Get(); ok {
			gauge(mLatency, ms/1000, when)
		}
	}
	gauge(mWindow, truth(s.Throttle.Window != status.WindowClosed))
	if ms, ok := s.Cutover.LastPauseMs.Get(); ok {
		gauge(mPause, ms/1000)
	}
	gauge(mMarked, float64(marked))
	gauge(mEverything, truth(everything))
	gauge(mResumed, float64(resumed))
	for decision, n := range map[string]int64{"kept": s.Duplicates.Skipped, "overwritten": s.Duplicates.Overwritten, "removed": s.Duplicates.Removed} {
		gauge(mDuplicates, float64(n), decision)
	}
	gauge(mKept, float64(s.Duplicates.Kept))
	gauge(mDifferent, float64(s.Verify.Different))
	gauge(mCompared, float64(s.Verify.Compared))
	count(mShadow, uint64(s.Shadow.Compared-s.Shadow.Different), "same")
	count(mShadow, uint64(s.Shadow.Different), "different")
	count(mShadow, uint64(s.Shadow.Skipped), "skipped")
	if x := m.traces.Load(); x != nil {
		c := x.Counts()
		count(mTraced, c.Sent, "sent")
		count(mTraced, c.LeftOut, "left_out")
		count(mTraced, c.Failed, "failed")
	}
	standing := map[string]float64{}
	for _, b := range s.Blockers {
		standing[b.Code]++
	}
	for code, n := range standing {
		gauge(mBlockers, n, code)
	}
	for e, n := range m.chronicle.events.counts() {
		count(mEvents, n, string(e.kind), e.name, e.state)
	}
	if m.Audit != nil && m.Audit.On() {
		c := m.Audit.Counts()
		count(mAuditLines, c.Written)
		count(mAuditFailed, c.Failed)
		gauge(mAuditOK, truth(c.Trouble == ""))
	}
	for name, c := range m.hookCounts() {
		count(mHookTold, c.Delivered, name)
		count(mHookFailed, c.Failed+c.LeftOut, name)
		count(mHookTries, c.Attempts, name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
