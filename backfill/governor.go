package backfill

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/latency"
)

const (
	// governEvery is how often the governor looks at what clients got.
	governEvery = 50 * time.Millisecond

	// probeEvery is how often copying stops to see how clients fare without it, in looks: every 5 s. A probe takes
	// probeLooks, without the first ones, in which what was under way still ends.
	probeEvery  = 100
	probeSettle = 1
	probeLooks  = 5

	// raiseAfter is how many looks must have shown that all is well before copying goes faster: so long that the last step
	// has had its effect. With less than enoughAnswers it takes raiseAtLast.
	raiseAfter  = 4
	raiseAtLast = 20
	// fewAnswers are too few to say anything of.
	enoughAnswers = 200
	fewAnswers    = 20
	// settleLooks is for how many looks answers do not count after copying was made slower.
	settleLooks = 2
	// troubleLooks is how many looks without trouble must be between two troubles.
	troubleLooks = 20

	// pingEvery is how often the server is asked where clients do not ask it: two hundred PINGs a second.
	pingEvery = 5 * time.Millisecond
	// busyAnswers in one look show that there are clients again.
	busyAnswers = 50
)

// GovernorOptions say what a governor watches.
type GovernorOptions struct {
	// Rise is by how much the clients' 99th percentile may be above what it is while nothing is copied, as a share of it.
	Rise float64
	// Floor is the speed below which the governor does not go, in keys per second.
	Floor int
	// Answers adds how long clients' commands took since it was called last.
	Answers func(into *latency.Histogram)
	// Ping says how long the server takes to answer; it is asked while clients are few. An error is a server that is away.
	Ping func(ctx context.Context) (time.Duration, error)
	// Copying reports whether a sweep is under way that could be slowed down, and how many keys were copied so far.
	Copying func() (bool, uint64)
}

// Governor slows copying down before clients notice it. It knows how long their commands take while nothing is copied, from
// probes: short pauses of all reading. While keys are copied it looks for more long answers than those had: then the
// speed is halved; as long as there are none it rises, fast below the speed that was too much the last time, and slowly
// above. With the speed go the sizes of batches and of SCAN's pages, for it is single long pieces of work that the server's
// other clients wait for.
//
//	floor ──► faster ──► too many long answers: half ──► faster ...
//	  every 5 s: a pause of 300 ms shows how long answers take without
//
// A server that becomes slow for another reason is relieved as well, down to the floor; when it is so in most of the last
// probes, too, that is what is usual.
type Governor struct {
	t   *Throttle
	opt GovernorOptions

	pinging atomic.Bool // PINGs are sent
	pingsMu sync.Mutex
	pings   latency.Histogram // since the last look

	mu        sync.Mutex // guards what follows
	active    bool
	byPing    bool
	probing   int // looks left of the probe
	since     int // looks since the last probe
	usual     usual
	probe     latency.Histogram
	recent    latency.Histogram // since the last change of speed
	looks     int               // in recent
	settling  int
	calmFor   int // looks since copying was made slower
	speed     float64
	threshold float64 // below it the speed rises fast
	copied    uint64  // at the beginning of recent
	state     GovernorState
}

// GovernorState is what a governor has come to.
type GovernorState struct {
	// KeysPerS is the speed that it allows; 0 while nothing is copied.
	KeysPerS int
	// Usual is the 99th percentile without copying, Now with it, as it was seen last; 0 is not known.
	Usual, Now time.Duration
	// Slowed is how often copying was made slower.
	Slowed uint64
}

// NewGovernor returns one of a throttle, which must have no other.
func NewGovernor(t *Throttle, o GovernorOptions) *Governor {
	return &Governor{t: t, opt: o}
}

// State may be called at any time.
func (g *Governor) State() GovernorState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// Run governs until ctx ends.
func (g *Governor) Run(ctx context.Context) {
	var ping sync.WaitGroup
	defer ping.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ping.Go(func() { g.ping(ctx) })
	tick := time.NewTicker(governEvery)
	defer tick.Stop()
	var answers, pings latency.Histogram
	for {
		select {
		case <-ctx.Done():
			g.t.quiet(false)
			g.t.govern(0)
			return
		case <-tick.C:
		}
		answers.Reset()
		g.opt.Answers(&answers)
		g.pingsMu.Lock()
		pings = g.pings
		g.pings.Reset()
		g.pingsMu.Unlock()
		copying, copied := g.opt.Copying()
		g.look(&answers, &pings, copying, copied)
	}
}

// ping asks the server from time to time, while that is wanted.
func (g *Governor) ping(ctx context.Context) {
	for ctx.Err() == nil {
		if !g.pinging.Load() {
			pause(ctx, governEvery)
			continue
		}
		took, err := g.opt.Ping(ctx)
		if err != nil {
			pause(ctx, governEvery)
			continue
		}
		pause(ctx, pingEvery)
		g.pingsMu.Lock()
		g.pings.Add(int64(took))
		g.pingsMu.Unlock()
	}
}

// look takes what clients, and PINGs, got since the last look.
func (g *Governor) look(answers, pings *latency.Histogram, copying bool, copied uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !copying {
		g.rest()
		return
	}
	if !g.active {
		g.active = true
		g.speed, g.threshold, g.calmFor = float64(g.opt.Floor), 1<<62, troubleLooks
		g.pinging.Store(true)
		g.beginProbe()
		return
	}
	got := answers
	if g.byPing {
		got = pings
	}
	switch {
	case g.probing > 0:
		g.probed(answers, pings, copied)
	case g.byPing && answers.Count() >= busyAnswers:
		g.beginProbe() // there are clients again
	default:
		g.judge(got, copied)
	}
	g.t.govern(int(g.speed))
	g.state.KeysPerS = int(g.speed)
}

// rest ends governing while there is nothing to govern.
func (g *Governor) rest() {
	if !g.active {
		return
	}
	g.active, g.probing, g.state.KeysPerS, g.state.Now = false, 0, 0, 0
	g.pinging.Store(false)
	g.t.quiet(false)
	g.t.govern(0)
}

// beginProbe stops all reading for a moment.
func (g *Governor) beginProbe() {
	g.t.govern(int(g.speed))
	g.t.quiet(true)
	g.pinging.Store(true)
	g.probing = probeSettle + probeLooks
	g.probe.Reset()
}

// probed takes a look of a probe. Clients are listened to if there are some, else the PINGs.
func (g *Governor) probed(answers, pings *latency.Histogram, copied uint64) {
	g.probing--
	if g.probing >= probeLooks {
		return
	}
	g.probe.Merge(answers)
	g.usual.pings.Merge(pings)
	if g.probing > 0 {
		return
	}
	g.t.quiet(false)
	g.since = 0
	byPing := g.probe.Count() < fewAnswers
	if byPing && g.usual.pings.Count() < fewAnswers {
		// So few of either: nobody is there, or the server hardly answers.
		if g.probe.Merge(&g.usual.pings); g.late(&g.probe) {
			g.usual.pings.Reset()
			g.pinging.Store(g.byPing)
			g.slower(&g.probe, copied)
			return
		}
	}
	if byPing != g.byPing {
		g.usual.forget()
		g.byPing = byPing
	}
	g.pinging.Store(byPing)
	if byPing {
		g.probe = g.usual.pings
	}
	g.usual.pings.Reset()
	if g.probe.Count() >= fewAnswers {
		g.usual.add(g.probe)
	}
	g.state.Usual = g.usual.quantile()
	g.begin(copied)
	g.settling = 1 // a look that saw the end of the probe
}

// begin forgets what was seen at another speed.
func (g *Governor) begin(copied uint64) {
	g.recent.Reset()
	g.looks, g.copied = 0, copied
}

// judge takes a look while keys are copied, and decides about the speed.
func (g *Governor) judge(got *latency.Histogram, copied uint64) {
	if g.since++; g.since >= probeEvery {
		g.beginProbe()
		return
	}
	if g.settling > 0 {
		g.settling--
		g.begin(copied)
		return
	}
	g.recent.Merge(got)
	g.looks++
	g.calmFor++
	n := g.recent.Count()
	if n >= fewAnswers {
		g.state.Now = g.recent.Quantile(tail)
	}
	switch {
	case g.state.Usual == 0:
		if g.looks >= raiseAtLast {
			g.beginProbe() // nobody has answered in the last one
		}
	case g.late(&g.recent):
		g.slower(&g.recent, copied)
	case n >= enoughAnswers && g.looks >= raiseAfter, n >= fewAnswers && g.looks >= raiseAtLast:
		g.faster(copied)
	case g.looks >= raiseAtLast:
		g.beginProbe() // the clients have gone
	}
}

// late reports whether more of the answers were long than is usual.
func (g *Governor) late(answers *latency.Histogram) bool {
	usual := g.state.Usual
	return usual > 0 && tooMany(answers, time.Duration(float64(usual)*(1+g.opt.Rise/2)))
}

// slower halves the speed because of answers, however few they are.
func (g *Governor) slower(answers *latency.Histogram, copied uint64) {
	g.state.Now = answers.Quantile(tail)
	floor := float64(g.opt.Floor)
	if g.speed > floor {
		g.state.Slowed++
	}
	g.speed = max(floor, g.speed/2)
	if g.calmFor >= troubleLooks { // else it is the same trouble, and was met at a higher speed
		g.threshold = g.speed
	}
	g.calmFor = 0
	g.begin(copied)
	g.settling = settleLooks
}

// faster raises the speed, if it is what limits the copying.
func (g *Governor) faster(copied uint64) {
	floor := float64(g.opt.Floor)
	step := max(floor/5, g.speed/10)
	reached := float64(copied-g.copied) / (float64(g.looks) * governEvery.Seconds())
	switch {
	case reached < g.speed/2:
	case g.speed < g.threshold:
		g.speed = min(1.5*g.speed, max(g.threshold, g.speed+step))
	default:
		g.speed += step
	}
	g.begin(copied)
}
