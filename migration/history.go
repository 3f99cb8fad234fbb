package migration

import (
	"time"

	"tandem/internal/history"
	"tandem/internal/status"
	"tandem/proxy"
)

// sampled is what was counted when the last sample was taken.
type sampled struct {
	at             time.Time
	counts         proxy.Counts
	effects        int64
	copies         int64
	source, target proxy.Latencies
}

// History returns how the migration has fared since a time in Unix ms, for an hour at most. (admin.Controller)
func (m *Migration) History(after int64) history.Series { return m.history.After(after) }

// Clients tells who is connected, at either listener. (admin.Controller)
func (m *Migration) Clients() status.Clients {
	c := m.server.Clients()
	for i := range c.Groups {
		c.Groups[i].Listener = "listen"
	}
	if m.two == nil {
		return c
	}
	at := m.two.server.Clients()
	for _, g := range at.Groups {
		g.Listener = "listen_target"
		c.Groups = append(c.Groups, g)
	}
	c.Connections += at.Connections
	c.LeftOut += at.LeftOut
	c.Sort()
	return c
}

// keepHistory takes a sample each second, as long as the process runs.
func (m *Migration) keepHistory() {
	tick := time.NewTicker(history.Interval)
	defer tick.Stop()
	last, _ := m.sample(sampled{at: time.Now()})
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		var s history.Sample
		last, s = m.sample(last)
		m.history.Add(s)
	}
}

// sample tells what has come since before, per second.
func (m *Migration) sample(before sampled) (sampled, history.Sample) {
	st := m.Status()
	now := sampled{at: time.Now(), counts: m.counts(), effects: st.Effects.Forwarded, copies: st.Copies.Done}
	m.eachShard(func(sh *proxy.Shard) {
		source, target := sh.Latencies()
		now.source.Add(&source)
		now.target.Add(&target)
	})
	seconds := max(now.at.Sub(before.at).Seconds(), 1e-3)
	kind := func(k proxy.CommandKind) float64 {
		return float64(now.counts.Kinds[k]-before.counts.Kinds[k]) / seconds
	}
	s := history.Sample{
		At:               now.at.UnixMilli(),
		ReadsPerS:        kind(proxy.ReadCommand),
		WritesPerS:       kind(proxy.WriteCommand),
		ScriptsPerS:      kind(proxy.ScriptCommand),
		TransactionsPerS: kind(proxy.TransactionCommand),
		OthersPerS:       kind(proxy.OtherCommand),
		FailedPerS:       float64(now.counts.Errors-before.counts.Errors) / seconds,
		LagMs:            history.Unknown,
		LagBytes:         float64(st.LagBytes),
		DirtyKeys:        float64(st.DirtyKeys),
		UnsettledWrites:  float64(st.UnsettledWrites),
		Sessions:         float64(st.Sessions),
		EffectsPerS:      float64(now.effects-before.effects) / seconds,
		CopiesPerS:       float64(now.copies-before.copies) / seconds,
		CopiedBytesPerS:  float64(now.counts.CopyBytes-before.counts.CopyBytes) / seconds,
	}
	if ms, known := st.LagMs.Get(); known {
		s.LagMs = ms
	}
	s.SourceP50Ms, s.SourceP95Ms, s.SourceP99Ms = percentiles(now.source.Since(&before.source))
	s.TargetP50Ms, s.TargetP95Ms, s.TargetP99Ms = percentiles(now.target.Since(&before.target))
	return now, s
}

// percentiles are in ms, unknown if there was nothing.
func percentiles(l *proxy.Latencies) (p50, p95, p99 float64) {
	if l.Count() == 0 {
		return history.Unknown, history.Unknown, history.Unknown
	}
	ms := func(q float64) float64 { return float64(l.Quantile(q).Nanoseconds()) / 1e6 }
	return ms(0.50), ms(0.95), ms(0.99)
}
