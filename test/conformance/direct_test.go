package conformance

import (
	"cmp"
	"slices"
	"testing"
	"time"
)

// protocols are those that every scenario is played in.
var protocols = []int{2, 3}

// play is one scenario in one protocol.
type play struct {
	scenario *Scenario
	protocol int
}

// plays are all there is to play, by part.
func plays(scenarios []*Scenario) (all []play) {
	for _, protocol := range protocols {
		for _, s := range scenarios {
			if (*resp == 0 || protocol == *resp) && (protocol == 2 || s.BothProtocols()) {
				all = append(all, play{s, protocol})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b play) int { return cmp.Compare(a.part(), b.part()) })
	return all
}

// The parts of a run, in their order. Once a script has run whose keys nobody knows, the proxy listens to the
// changes in each database, and is slower from then on: so scripts come last.
const (
	inOwn        = iota // in a database of their own
	inAll               // those that want to be alone
	scriptsInOwn        // the same with scripts
	scriptsInAll
)

// part is where in the order of plays it belongs.
func (p play) part() int {
	part := inOwn
	if p.scenario.Alone {
		part = inAll
	}
	if p.scenario.HasScripts() {
		part += scriptsInOwn - inOwn
	}
	return part
}

// of are the plays of some parts.
func of(all []play, parts ...int) []play {
	return slices.DeleteFunc(slices.Clone(all), func(p play) bool { return !slices.Contains(parts, p.part()) })
}

// transcripts are what was answered, by play.
type transcripts map[play]Transcript

// directly is what a version answers to all plays, straight; played once in a run of the tests.
func directly(t *testing.T, version string) transcripts {
	t.Helper()
	if played[version] == nil {
		played[version] = playDirect(t, plays(corpus(t)), version, false)
	}
	return played[version]
}

// played is kept by directly; the tests of the package run one after the other.
var played = map[string]transcripts{}

// playDirect plays them on a fresh server of a version, without those that need a command that it lacks.
func playDirect(t *testing.T, all []play, version string, pipelined bool) transcripts {
	t.Helper()
	server := start(t, version)
	c := control(t, server)
	got := transcripts{}
	knows := map[string]bool{"": true}
	for i, p := range all {
		needs := p.scenario.Needs
		if _, asked := knows[needs]; !asked {
			info, err := c.Must("COMMAND", "INFO", needs)
			if err != nil {
				t.Fatal(err)
			}
			knows[needs] = !info.Elems[0].Null
		}
		if !knows[needs] {
			continue
		}
		db := i + 1
		if p.scenario.Alone {
			reset(t, c)
			db = 0
		}
		player := Player{Addr: server.Addr, Server: c, Protocol: p.protocol, Pipelined: pipelined}
		began := time.Now()
		got[p] = player.Play(p.scenario, db)
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Logf("%s: %s took %v", version, p.scenario.ID(), took.Round(time.Millisecond))
		}
	}
	return got
}

// reset empties a server.
func reset(t *testing.T, c *Control) {
	t.Helper()
	if _, err := c.Must("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
}

// What a scenario says is comparable must be: played twice on servers of the same version, line by line and
// pipelined, everything is answered the same. Without this, nothing could be said of the proxy.
func TestScenariosAreDetermined(t *testing.T) {
	all := plays(corpus(t))
	for _, version := range present(t) {
		t.Run(version, func(t *testing.T) {
			first := directly(t, version)
			for p, got := range first {
				if got.Err != nil {
					t.Errorf("%s (RESP%d): %v", p.scenario.ID(), p.protocol, got.Err)
				}
			}
			found := &findings{}
			found.compare("the second time", version, first, playDirect(t, all, version, true))
			found.report(t)
		})
	}
}
