package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"tandem/backfill"
	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/router"
)

// pair is two real servers with clients of their own, each kept equal to the other.
type pair struct {
	*house       // of the source's clients
	back   house // of the target's

	copiers [2]*backfill.Copier
	runs    map[string]string // run ids by instance, under the lock
}

// newPair starts servers, what is between them, and listeners for both.
func newPair(t *testing.T, o redisd.Options) *pair {
	t.Helper()
	return newPairWith(t, o, func(*Options) {})
}

// newPairWith is newPair with other options of the shards.
func newPairWith(t *testing.T, o redisd.Options, change func(*Options)) *pair {
	t.Helper()
	p := &pair{house: &house{t: t, source: redisdtest.Start(t, o), target: redisdtest.Start(t, o)}, runs: map[string]string{}}
	var err error
	if p.src, err = instance.New(instance.Source, "redis://"+p.source.Addr, instance.Options{}); err != nil {
		t.Fatal(err)
	}
	if p.tgt, err = instance.New(instance.Target, "redis://"+p.target.Addr, instance.Options{}); err != nil {
		t.Fatal(err)
	}
	p.back = house{t: t, source: p.source, target: p.target, src: p.src, tgt: p.tgt}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	l := ledger.New(ledger.Options{MaxDirty: 1000, MaxExact: 1000, TwoWay: true, Now: func() int64 { return time.Now().UnixNano() }})
	deny, err := router.NewDeny(router.DefaultDeny)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	for at, h := range []*house{p.house, &p.back} {
		here, there := p.src, p.tgt
		if at == int(ledger.Secondary) {
			here, there = p.tgt, p.src
		}
		so := Options{ID: "test", Generation: "1", MaxLagBytes: 1 << 20, PrimaryWait: 2 * time.Second, Settle: time.Second,
			OnConnect: p.connected, Deny: deny, At: ledger.Side(at), TwoWay: true, Log: log}
		change(&so)
		h.shard = NewShard(l, here, instance.Facts{}, 16, so)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		h.server = NewServer(h.shard, listener, ServerOptions{Limits: resp.DefaultLimits, MaxClients: 100, OutputLimit: 64 << 20,
			Memory: 1 << 30, WriteTimeout: 5 * time.Second, KeepAlive: time.Minute, Log: log})
		served.Go(func() { _ = h.server.Serve() })
		p.copiers[at] = backfill.NewCopier(l, here, there, backfill.CopierOptions{Name: h.shard.ConnName("copier"), Throttle: backfill.NewThrottle(backfill.Limits{Workers: 2}),
			From: ledger.Side(at), Log: log})
		served.Go(func() { _ = p.copiers[at].Run(ctx) })
	}
	p.back.shard.Beside(p.shard)
	changed := make(chan struct{}, 1)
	p.shard.lock()
	l.OnChange(func() {
		p.copiers[0].Wake()
		p.copiers[1].Wake()
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	p.shard.unlock()
	sweep := backfill.NewSweep(l, p.copiers[0], p.src, p.tgt, backfill.SweepOptions{Name: p.shard.ConnName("sweep"),
		Back: p.copiers[1], Log: log})
	served.Go(func() {
		for ctx.Err() == nil {
			p.shard.lock()
			gen, _, owed := l.SweepOwed()
			p.shard.unlock()
			if owed {
				_ = sweep.Run(ctx, gen)
				continue
			}
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	})
	for _, h := range []*house{p.house, &p.back} {
		other := p.tgt
		if h == &p.back {
			other = p.src
		}
		e := h.shard.NewEffectLane(other, instance.Facts{})
		e.Start()
		h.shard.Open()
		h.await("the lanes", func() bool { return e.Up() && h.shard.Known() })
		h.shard.lock()
		h.shard.Replicate(e)
		h.shard.unlock()
	}
	t.Cleanup(func() {
		end, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		for _, h := range []*house{p.house, &p.back} {
			h.server.Shutdown(end)
		}
		cancel()
		for _, h := range []*house{p.house, &p.back} {
			h.shard.Close()
			h.shard.effects.Stop()
		}
		served.Wait()
	})
	return p
}

// connected is told what an instance is whenever a lane has connected to it.
func (p *pair) connected(i *instance.Instance, f instance.Facts) {
	if was := p.runs[i.Addr]; was != "" && was != f.RunID {
		p.shard.ledger.OweSweep(i.String()+" was restarted", 0)
	}
	p.runs[i.Addr] = f.RunID
}

// rest waits until both servers hold the same, as far as the ledger knows, and compares them.
func (p *pair) rest() {
	p.t.Helper()
	l := p.shard.ledger
	p.await("rest", func() bool {
		return p.shard.Answered() && p.back.shard.Answered() && l.Drained()
	})
	p.same()
}

// client connects to one of the two.
func (p *pair) at(side int) *wire {
	p.t.Helper()
	if side == 0 {
		return p.client()
	}
	return p.back.client()
}
