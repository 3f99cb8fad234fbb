package conformance

import (
	"slices"
	"testing"

	"tandem/test/program"
)

// TestTwoWay plays with clients on both servers: first at the source's listener, then at the target's. Left out is what concerns more
// than its own database, scripts, after which all keys may have to be compared, and what waits to be blocked on the server: in two-way
// nobody is.
func TestTwoWay(t *testing.T) {
	if here := present(t); !slices.Contains(here, inAllPhases.source) {
		return
	}
	known := loadExceptions(t)
	found := &findings{known: known}
	w := &world{t: t, found: found, source: start(t, inAllPhases.source), target: start(t, inAllPhases.target), played: map[int]play{}, next: 1, returns: true}
	w.onSource, w.onGoal = control(t, w.source), control(t, w.target)
	there := program.FreeAddr(t)
	w.td = serve(t, w.source, w.target, "listen_target: "+there, "auth:", "  cache: 0s")
	w.td.Step("start")
	w.td.until("two-way", func() bool { return w.td.Status().Phase == twoWay })
	w.td.settle()

	all, want := slices.DeleteFunc(of(plays(corpus(t)), inOwn), blocks), directly(t, inAllPhases.source)
	w.through(twoWay, all, w.onSource, want)
	w.flush()
	w.td.Addr = there
	w.through(twoWay, all, w.onGoal, want)
	found.report(t)
	t.Log(w.td.counts())
}

// twoWay is the phase in which both servers have clients.
const twoWay = "two_way"

// blocks reports whether a play waits until the server counts a blocked client, or makes mistakes in a command that would block,
// which is refused in other words.
func blocks(p play) bool {
	return p.scenario.ID() == "blocking: mistakes are answered at once" || slices.ContainsFunc(p.scenario.Steps, func(s Step) bool { return s.Action == Block })
}
