package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/test/keyspace"
)

// seeds is how many conversations a pair of versions has.
func seeds() uint64 {
	switch {
	case *many > 0:
		return *many
	case full:
		return 250
	}
	return 10
}

// manner is how a conversation is played.
type manner struct {
	// wild: all sessions talk at once, and only the keyspaces are compared.
	wild bool
	// switches: there are cutovers and rollbacks in the course of it.
	switches bool
	// backfill: it begins on the source alone, and goes on while the migration's first sweep is under way.
	backfill bool
}

func (m manner) String() string {
	return fmt.Sprintf("wild: %v, switches: %v, backfill: %v", m.wild, m.switches, m.backfill)
}

// slowly is from when on a conversation's time is told: somebody waits for something that does not come.
const slowly = 2 * time.Second

// mannerOf is a seed's. Each beginning of a migration, and each switch, costs some tenths of a second.
func mannerOf(seed uint64, sameVersion bool) manner {
	r := rand.New(rand.NewPCG(seed, 2))
	m := manner{wild: r.IntN(4) == 0, backfill: r.IntN(10) == 0, switches: r.IntN(8) == 0 && sameVersion}
	m.switches = m.switches && !m.backfill // nobody can switch then
	return m
}

// TestRandom has random conversations through the program, and with a server beside it: what is answered is the same,
// and so are the keyspaces of source and target once everything has settled. Mostly the phase is synced; between
// servers of one version also reversed, and it changes under way. What fails is shrunk and kept under
// scenarios/found, to be played by TestPhases from then on.
func TestRandom(t *testing.T) {
	here := present(t)
	var pairs []pair
	for _, p := range inFull {
		if slices.Contains(here, p.source) && slices.Contains(here, p.target) && (full || p.source == p.target) {
			pairs = append(pairs, p)
		}
	}
	for i, p := range pairs {
		t.Run(p.source+" to "+p.target, func(t *testing.T) {
			began := time.Now()
			r := newRandomWorld(t, p)
			played := map[manner]int{}
			first := seed
			if seeds() > 1 { // one alone is asked for by its seed
				first += uint64(i) * seeds()
			}
			for n := first; n < first+seeds(); n++ {
				m := mannerOf(n, p.source == p.target)
				played[m]++
				s := r.scenario(n, m)
				since := time.Now()
				why := r.play(s, m)
				if took := time.Since(since); took > slowly {
					t.Logf("seed %d (%v) took %v", n, m, took.Round(time.Millisecond))
				}
				if r.twinErr != nil {
					t.Errorf("seed %d (%v), the server itself: %v\n%s", n, m, r.twinErr, s.Text())
				}
				if why == "" {
					continue
				}
				t.Logf("seed %d (%v) is played again: %s\n%s", n, m, why, s.Text())
				if again := r.play(s, m); again == "" {
					continue // what hangs on a moment may come out otherwise once
				}
				patience = min(patience, time.Second) // what is left may wait for what is gone
				silent := strings.Contains(why, noReply)
				s = Shrink(s, func(s *Scenario) bool {
					now := r.play(s, m)
					return now != "" && silent == strings.Contains(now, noReply)
				})
				patience = *hurry
				if again := r.play(s, m); again != "" {
					why = again
				}
				t.Errorf("seed %d (%v): %s\n%s\n%s", n, m, why, s.Text(), keep(t, p, s))
				if !full {
					return // each costs some seconds of shrinking
				}
			}
			for m, n := range played {
				t.Logf("%4d conversations (%v)", n, m)
			}
			t.Logf("%d conversations in %v; %s", seeds(), time.Since(began).Round(time.Millisecond), r.td.counts())
		})
	}
}

// randomWorld is a world with a server beside it, of the source's version.
type randomWorld struct {
	*world
	twin Player
	// twinErr says why the twin could not play the last conversation to its end.
	twinErr error
	// generators by manner.
	generators map[manner]*Generator
	// reversed: the target answers.
	reversed bool
}

func newRandomWorld(t *testing.T, p pair) *randomWorld {
	t.Helper()
	twin := start(t, p.source)
	r := &randomWorld{world: newWorld(t, p, &findings{}), twin: Player{Addr: twin.Addr, Server: control(t, twin), Protocol: 2}}
	r.begin()
	r.generators = map[manner]*Generator{}
	known, err := Known(r.onSource)
	if err != nil {
		t.Fatal(err)
	}
	knows := map[string]bool{}
	for _, row := range known {
		knows[row] = true
	}
	for _, m := range []manner{{}, {wild: true}, {switches: true}, {wild: true, switches: true}, {backfill: true}, {wild: true, backfill: true}} {
		g := NewGenerator(corpus(t), m.wild, fit(p.source))
		g.Switches, g.Crowded, g.Knows = m.switches, m.backfill, func(row string) bool { return knows[row] }
		r.generators[m] = g
	}
	through, err := DialControl(r.td.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	for _, c := range []*Control{through, r.twin.Server} {
		if _, err := c.Must("SCRIPT", "LOAD", callScript); err != nil {
			t.Fatal(err)
		}
		if knows["FUNCTION LOAD"] {
			if _, err := c.Must("FUNCTION", "LOAD", "REPLACE", callLibrary); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// scenario is a seed's conversation.
func (r *randomWorld) scenario(n uint64, m manner) *Scenario {
	return r.generators[m].Scenario(n)
}

// fit tells the requests that a version's conversations may have.
func fit(version string) func(command []string) bool {
	if version == "redis-6.0" {
		return fitFor60
	}
	return func([]string) bool { return true }
}

// begin starts the migration anew, from source to target.
func (r *randomWorld) begin() {
	r.t.Helper()
	r.reversed = false
	r.world.begin()
}

// switchOver has the other server answer, as soon as that is possible.
func (r *randomWorld) switchOver() error {
	step := "cutover"
	if r.reversed {
		step = "rollback"
	}
	r.td.until(step, func() bool {
		code, _ := r.td.Ask(step)
		return code == http.StatusOK
	})
	r.reversed = !r.reversed
	return nil
}

// play plays a conversation on both; what differs is returned, "" for nothing.
func (r *randomWorld) play(s *Scenario, m manner) string {
	r.t.Helper()
	var want Transcript
	r.twinErr = nil
	if !m.wild {
		reset(r.t, r.twin.Server)
		want = r.twin.inTwo(s)
		r.twinErr = want.Err
		r.forgetUsers(r.twin.Server)
		if want.Err != nil {
			return "" // shrinking leaves what nobody serves
		}
	}
	if m.backfill {
		r.reversed = false
		r.serve()
	} else {
		r.flush()
	}
	primary := r.onSource
	if r.reversed {
		primary = r.onGoal
	}
	proxy := Player{Addr: r.td.Addr, Server: primary, Protocol: 2}
	proxy.Switch = func() error {
		err := r.switchOver()
		proxy.Server = r.onSource
		if r.reversed {
			proxy.Server = r.onGoal
		}
		return err
	}
	var got Transcript
	switch {
	case m.backfill:
		onSource := Player{Addr: r.source.Addr, Server: r.onSource, Protocol: 2}
		given := onSource.Given(s, 0)
		r.sweep(s)
		if m.wild {
			got = proxy.PlayAtOnce(s.Steps[s.Given:])
		} else {
			got = proxy.Resume(given, s)
		}
		if r.td.Status().Backfill.State == "paused" {
			r.td.Step("resume")
		}
	case m.wild:
		got = proxy.PlayAtOnce(s.Steps)
	default:
		got = proxy.Play(s, 0)
	}
	r.forgetUsers(r.onSource)
	if m.wild {
		if got.Err != nil {
			return got.Err.Error()
		}
	} else {
		var all []string
		for _, d := range Diff(s, want, got) {
			all = append(all, d.String())
		}
		if all != nil {
			return strings.Join(all, "\n")
		}
	}
	return r.different(s)
}

// different says what differs between source and target once everything has settled, "" for nothing. What differs only
// at first is told: somebody said too early that all has settled.
func (r *randomWorld) different(s *Scenario) string {
	r.t.Helper()
	began, first := time.Now(), ""
	for {
		if failing := r.td.settled(); failing != "" {
			return "this never settles: " + failing
		}
		if found := r.newMismatches(); len(found) > 0 {
			return "effects answered otherwise than they should be: " + strings.Join(found, ", ")
		}
		result, err := keyspace.Compare(r.source.Addr, r.target.Addr, keyspace.Options{})
		switch {
		case err != nil:
			r.t.Fatal(err)
		case len(result.Differences) == 0 && first == "":
			return ""
		case len(result.Differences) == 0:
			r.t.Logf("%s: equal only %v after all had settled: %s", s.Name, time.Since(began).Round(time.Millisecond), first)
			return ""
		case time.Since(began) > lateBy:
			return "source and target differ: " + result.String()
		case first == "":
			first = result.String()
		}
	}
}

// lateBy bounds how late reports of what scripts have written may be on a busy machine.
const lateBy = 2 * time.Second

// fewFillers are enough to hold a sweep that has nothing else to do.
const fewFillers = 400

// sweep starts the migration; its first sweep is held, or goes on beside the conversation.
func (r *randomWorld) sweep(s *Scenario) {
	r.t.Helper()
	if len(s.Steps)%2 == 0 {
		r.hold(fewFillers)
		return
	}
	r.td.Step("start")
	r.td.until("the backfill begins", func() bool { return r.td.Status().Phase != "passthrough" })
}

// forgetUsers deletes the users that conversations make.
func (r *randomWorld) forgetUsers(c *Control) {
	r.t.Helper()
	users, err := c.Must("ACL", "USERS")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, u := range users.Elems {
		if u.Text != "default" {
			if _, err := c.Must("ACL", "DELUSER", u.Text); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// inTwo plays a scenario as one that begins before the migration, if it does.
func (p *Player) inTwo(s *Scenario) Transcript {
	if s.Given == 0 {
		return p.Play(s, 0)
	}
	return p.Resume(p.Given(s, 0), s)
}

// keep writes a scenario that fails to where TestPhases finds it.
func keep(t *testing.T, p pair, s *Scenario) string {
	t.Helper()
	path := filepath.Join("scenarios", "found", fmt.Sprintf("%s-%s-%s.txt", p.source, p.target, strings.ReplaceAll(s.Name, " ", "-")))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# Found by TestRandom on "+p.source+" to "+p.target+".\n\n"+s.Text()), 0o644); err != nil {
		t.Fatal(err)
	}
	return "kept as " + path
}
