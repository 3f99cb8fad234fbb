package migration

import (
	"context"
	"time"

	"tandem/config"
	"tandem/internal/trace"
	"tandem/proxy"
)

// tracesEnd is how long traces that are queued may take to be sent at the end.
const tracesEnd = 3 * time.Second

// openTraces has some of the clients' commands told to a collector. Where that does not come about they go untold: clients do
// not depend on it.
func (m *Migration) openTraces() {
	c := m.cfg.Tracing
	if c.Endpoint == "" {
		return
	}
	tls := c.TLSOptions()
	tls.Log = m.log
	x, err := trace.Start(trace.Options{
		Endpoint: c.Endpoint, Header: c.Header, TLS: tls, Queue: c.Queue, Every: c.Every, Timeout: c.Timeout,
		Resource: trace.Resource{Service: c.Service, Version: m.Version, Instance: m.id},
		Log:      m.log,
	})
	if err != nil {
		m.log.Error("there are no traces", "error", err)
		return
	}
	m.traces.Store(x)
	m.eachShard(func(sh *proxy.Shard) { sh.SetTraces(float64(c.Share), c.Keys, x.Offer, m.phaseLocked) })
	m.log.Info("traces", "endpoint", c.Endpoint, "share", c.Share.String())
}

// closeTraces sends what is queued. The shards are closed.
func (m *Migration) closeTraces() {
	if x := m.traces.Load(); x != nil {
		ctx, cancel := context.WithTimeout(context.Background(), tracesEnd)
		defer cancel()
		x.Stop(ctx)
	}
}

// shareTraces changes the share of the commands that are told, if any are.
func (m *Migration) shareTraces(share config.Share) {
	if m.traces.Load() != nil {
		m.eachShard(func(sh *proxy.Shard) { sh.ShareTraces(float64(share)) })
	}
}
