package migration

import (
	"github.com/prometheus/client_golang/prometheus"

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
	mWaits       = desc("writes_waited_total", "Writes that waited for another lane.")
	mOverflows   = desc("dirty_overflows_total", "Times the dirty set passed its bound, and a sweep was owed instead.")
	mUnkeyed     = desc("writes_unkeyed_total", "Writes whose keys could not be told.")
	mHidden      = desc("scripts_hidden", "Scripts that clients run by their hash and whose source the server does not show; 256 are counted at most.")
	mAckTimeouts = desc("ack_timeouts_total", "Answers that waited ack_timeout for the secondary in vain.")
	mScanned     = desc("backfill_keys_scanned", "Keys that the present sweep has looked at.")
	mCopied      = desc("backfill_keys_copied", "Keys that the present sweep has copied.")
	mTotal       = desc("backfill_keys_total", "Keys that the present sweep has to look at, as estimated.")
	mBytes       = desc("backfill_copied_bytes", "Payload bytes that the present sweep has copied.")
	mPause       = desc("cutover_pause_seconds", "How long commands were held by the last cutover or rollback.")
	mMarked      = desc("intent_marked_stripes", "Stripes of the keyspace, of 1048576, whose keys a crash now would have copied again.")
	mEverything  = desc("intent_everything", "1 while a crash now would have all keys compared.")
	mResumed     = desc("resumed_stripes", "Stripes whose keys this process had to copy again because the last one ended before they had settled.")
	mDifferent   = desc("verify_differences", "Differences found by the last verify.")
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

	s, counts := m.Status(), m.shard.Counts()
	m.ledger.Lock()
	stats := m.ledger.Stats()
	marked, everything := m.ledger.MarkedStripes()
	m.ledger.Unlock()
	m.mu.Lock()
	resumed := m.resumed.Stripes
	m.mu.Unlock()

	count(mCommands, counts.Commands)
	count(mWrites, counts.Writes)
	count(mUnkeyed, counts.Unkeyed)
	gauge(mHidden, float64(m.shard.HiddenScripts()))
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

	gauge(mSessions, float64(s.Sessions))
	gauge(mHeld, float64(m.server.Held()))
	count(mAccepted, m.server.Accepted())
	for _, r := range proxy.CloseReasons() {
		count(mClosed, m.server.Closed(r), r.String())
	}
	for _, p := range []string{status.Passthrough, status.Backfill, status.Synced, status.Reversed, status.Finished} {
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
	gauge(mScanned, float64(s.Backfill.KeysScanned))
	gauge(mCopied, float64(s.Backfill.KeysCopied))
	if n, ok := s.Backfill.KeysTotal.Get(); ok {
		gauge(mTotal, float64(n))
	}
	gauge(mBytes, float64(s.Backfill.BytesCopied))
	if ms, ok := s.Cutover.LastPauseMs.Get(); ok {
		gauge(mPause, ms/1000)
	}
	gauge(mMarked, float64(marked))
	gauge(mEverything, truth(everything))
	gauge(mResumed, float64(resumed))
	gauge(mDifferent, float64(s.Verify.Different))
	gauge(mCompared, float64(s.Verify.Compared))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
