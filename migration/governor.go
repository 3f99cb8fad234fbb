package migration

import (
	"context"
	"errors"
	"time"

	"tandem/backfill"
	"tandem/internal/instance"
	"tandem/internal/latency"
	"tandem/internal/status"
	"tandem/proxy"
)

// pingTimeout bounds one PING of the governor: what takes longer is no small rise any more, and counts as that long.
const pingTimeout = time.Second

// openGovernor makes the governor. It watches what clients get of the primary, whichever that is, while it is on; in two-way
// what those of both servers get.
func (m *Migration) openGovernor() {
	b := m.cfg.Backfill
	m.eachShard(func(sh *proxy.Shard) { m.pings = append(m.pings, &pinger{shard: sh}) })
	m.governor = backfill.NewGovernor(m.throttle, backfill.GovernorOptions{
		Rise:    float64(b.GovernorRise),
		Floor:   b.GovernorFloor,
		Answers: m.takeAnswers,
		Ping:    m.pings.ping,
		Copying: m.reading,
	})
	m.setGoverning(b.Governor == governorOn)
}

// governorOn is the setting of a governor that slows copying down.
const governorOn = "on"

// setGoverning switches the governor on or off.
func (m *Migration) setGoverning(on bool) {
	if m.governing.Swap(on) != on {
		m.eachShard(func(sh *proxy.Shard) { sh.MeasureAnswers(on) }) // some nanoseconds for each command
	}
}

// Of a server that has more to do than the other, so many answers of one look of the governor count at least, and so many
// for each of the other: else what the fewer get would be lost in the many.
const (
	weighedAnswers = 100
	weighedShare   = 4
)

// takeAnswers adds how long the clients' answers took since it was called last.
func (m *Migration) takeAnswers(into *latency.Histogram) {
	m.shard.TakeAnswers(into)
	if !m.twoWay() {
		return
	}
	var other latency.Histogram
	m.two.shard.TakeAnswers(&other)
	if few := min(into.Count(), other.Count()); few > 0 {
		most := max(weighedAnswers, weighedShare*few)
		into.Keep(most)
		other.Keep(most)
	}
	into.Merge(&other)
}

// govern runs the governor.
func (m *Migration) govern() {
	defer m.pings.close()
	m.governor.Run(m.ctx)
}

// reading reports whether a sweep or a verify is under way that the governor may slow down, and how many keys the link has copied
// and verifies have looked at so far.
func (m *Migration) reading() (bool, uint64) {
	l := m.linked.Load()
	if l == nil || !m.governing.Load() {
		return false, 0
	}
	copied := l.copier.Stats().Copied + m.throttle.ComparedKeys()
	if l.back != nil {
		copied += l.back.copier.Stats().Copied
	}
	s := l.sweep.Load()
	sweeping := s != nil && s.Progress().State == status.Running
	return sweeping || m.verifies.status().State == status.Running, copied
}

// pingers are those of all servers that clients are served by.
type pingers []*pinger

// ping says how long the slower one takes to answer. A server that is away is left out, if it is not the only one.
func (all pingers) ping(ctx context.Context) (longest time.Duration, err error) {
	answered := false
	for _, p := range all {
		took, gone := p.ping(ctx)
		if gone != nil {
			err = gone
			continue
		}
		answered, longest = true, max(longest, took)
	}
	if answered {
		err = nil
	}
	return longest, err
}

func (all pingers) close() {
	for _, p := range all {
		p.close()
	}
}

// pinger is a connection to a shard's server that only PINGs; it belongs to the governor's PINGs.
type pinger struct {
	shard *proxy.Shard
	to    *instance.Instance
	conn  *instance.Conn
}

// ping says how long it takes to answer.
func (p *pinger) ping(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if primary := p.shard.Primary(); p.to != primary {
		p.close()
		p.to = primary
	}
	if p.conn == nil {
		conn, err := p.to.Conn(ctx, p.shard.ConnName("governor"), 0)
		if err != nil {
			return 0, err
		}
		p.conn = conn
	}
	began := time.Now()
	_, err := p.conn.Do(ctx, "PING")
	took := time.Since(began)
	if err != nil {
		p.close()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, err
		}
	}
	return took, nil
}

func (p *pinger) close() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// describeGovernor fills in what the governor has come to.
func (m *Migration) describeGovernor(s *status.ThrottleStatus) {
	if !m.governing.Load() {
		return
	}
	known := func(d time.Duration) (o status.Optional[float64]) {
		if d > 0 {
			o = status.Known(float64(d.Microseconds()) / 1000)
		}
		return o
	}
	g := m.governor.State()
	s.Governor, s.Slowed = status.Idle, int64(g.Slowed)
	s.LatencyMs, s.UsualLatencyMs = known(g.Now), known(g.Usual)
	if g.KeysPerS > 0 {
		s.Governor, s.GovernorKeysPerS = status.Running, status.Known(int64(g.KeysPerS))
	}
}
