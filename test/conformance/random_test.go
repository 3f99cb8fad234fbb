package conformance

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/test/keyspace"
)

// seeds is how many conversations a version has, and how many of them, one in wildEvery, are wild.
func seeds() uint64 {
	switch {
	case *many > 0:
		return *many
	case full:
		return 1000
	}
	return 10
}

const wildEvery = 5

// TestRandom has random conversations through the program, in synced, and with a server beside it: what is answered
// is the same, and so are the keyspaces of source and target once everything has settled. What fails is shrunk and
// kept under scenarios/found, to be played by TestPhases from then on.
func TestRandom(t *testing.T) {
	scenarios := corpus(t)
	for _, version := range present(t) {
		t.Run(version, func(t *testing.T) {
			began := time.Now()
			w := newWorld(t, pair{version, version}, &findings{})
			twin := start(t, version)
			r := &randomWorld{world: w, twin: Player{Addr: twin.Addr, Server: control(t, twin)}}
			w.td.Step("start")
			w.td.settle()
			determined, anything := NewGenerator(scenarios, false), NewGenerator(scenarios, true)
			for i := range seeds() {
				g := determined
				if i%wildEvery == wildEvery-1 {
					g = anything
				}
				n := seed + i
				s := g.Scenario(n)
				why := r.play(s, g.Wild)
				if why == "" || version == "redis-6.0" && overflows(s) || r.play(s, g.Wild) == "" {
					continue // what hangs on a moment may come out otherwise once
				}
				s = Shrink(s, func(s *Scenario) bool { return r.play(s, g.Wild) != "" })
				if again := r.play(s, g.Wild); again != "" {
					why = again
				}
				t.Errorf("seed %d (wild: %v): %s\n%s\n%s", n, g.Wild, why, s.Text(), keep(t, version, s))
				if !full {
					return // each costs some seconds of shrinking
				}
			}
			t.Logf("%d conversations in %v; %s", seeds(), time.Since(began).Round(time.Millisecond), w.td.counts())
		})
	}
}

// overflows reports whether a conversation has the number by which Redis 6.0 overflows its clock, when it is an expiry:
// it then keeps the key for ever, which a key on the target cannot say.
func overflows(s *Scenario) bool { return strings.Contains(s.Text(), strconv.Itoa(math.MaxInt64)) }

// randomWorld is a world with a server beside it.
type randomWorld struct {
	*world
	twin Player
}

// play plays a conversation on both; what differs is returned, "" for nothing.
func (r *randomWorld) play(s *Scenario, isWild bool) string {
	r.t.Helper()
	r.flush()
	proxy := Player{Addr: r.td.Addr, Server: r.onSource, Protocol: 2}
	got := proxy.Play(s, 0)
	if isWild {
		if got.Err != nil {
			return got.Err.Error()
		}
	} else {
		reset(r.t, r.twin.Server)
		want := r.twin.Play(s, 0)
		if want.Err != nil {
			return "the server itself: " + want.Err.Error()
		}
		var all []string
		for _, d := range Diff(s, want, got) {
			all = append(all, d.String())
		}
		if all != nil {
			return strings.Join(all, "\n")
		}
	}
	r.td.settle()
	result, err := keyspace.Compare(r.source.Addr, r.target.Addr, keyspace.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(result.Differences) > 0 {
		return "source and target differ: " + result.String()
	}
	return ""
}

// keep writes a scenario that fails to where TestPhases finds it.
func keep(t *testing.T, version string, s *Scenario) string {
	t.Helper()
	path := filepath.Join("scenarios", "found", fmt.Sprintf("%s-%s.txt", version, strings.ReplaceAll(s.Name, " ", "-")))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# Found by TestRandom on "+version+".\n\n"+s.Text()), 0o644); err != nil {
		t.Fatal(err)
	}
	return "kept as " + path
}
