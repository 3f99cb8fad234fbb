package stage

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/keyspace"
	"tandem/test/program"
)

// Stage is two servers with the program between them, and the parts that play.
type Stage struct {
	t              *testing.T
	source, target *redisd.Server
	td             *program.Tandem // nil without the program
	players        []*Player
	switches       atomic.Int64 // raised when a switch is asked for and when it was answered: odd in between
	undone         int
	act            string // what the walk is doing
	began          time.Time
	mismatched     string // what td.Mismatches said last
}

// The keyspace that the backfill copies beside the parts' own keys, and how fast it may, so that the phase lasts
// for a second and more.
const (
	fillKeys      = 4000
	fillPerSecond = 3000
)

// least is how long each phase lasts at least.
func least() time.Duration {
	if Full {
		return 2 * time.Second
	}
	return 250 * time.Millisecond
}

// Play lets the parts play through a whole migration between a pair of servers, and compares them at the end.
func Play(t *testing.T, pair Pair, parts ...Part) {
	t.Helper()
	parts = chosen(t, parts)
	if len(parts) == 0 {
		t.Log("no part is named so")
		return
	}
	s := &Stage{t: t, source: start(t, pair.Source), began: time.Now()}
	addr := s.source.Addr
	both := Features{}
	if direct {
		both = features(t, s.source)
	} else {
		s.target = start(t, pair.Target)
		both = features(t, s.source, s.target)
		layout := keyspace.Layout{Keys: fillKeys, Seed: 1}
		if err := layout.Fill(s.source.Addr); err != nil {
			t.Fatal(err)
		}
		s.td = program.Serve(t, s.source, s.target, "start: manual", "backfill:", fmt.Sprintf("  max_keys_per_s: %d", fillPerSecond))
		addr = s.td.Addr
	}
	for _, part := range parts {
		s.players = append(s.players, &Player{Addr: addr, Prefix: strings.ReplaceAll(part.Name, " ", "-") + ":",
			Features: both, part: part, stage: s, stopping: make(chan struct{}), ended: make(chan struct{})})
	}
	for _, p := range s.players {
		go p.play()
	}
	defer s.stop() // also when the walk fails
	s.walk()
	s.stop()
	s.compare()
}

// chosen are the parts that TANDEM_TEST_PARTS names.
func chosen(t *testing.T, parts []Part) []Part {
	t.Helper()
	expr, err := regexp.Compile(os.Getenv("TANDEM_TEST_PARTS"))
	if err != nil {
		t.Fatalf("TANDEM_TEST_PARTS: %v", err)
	}
	var some []Part
	for _, p := range parts {
		if expr.MatchString(p.Name) {
			some = append(some, p)
		}
	}
	return some
}

// walk goes through the phases, with a second cutover at the end: it meets clients that have seen a rollback. In the
// full size there are more of both.
func (s *Stage) walk() {
	s.t.Helper()
	if direct {
		s.during("no program")
		return
	}
	s.during("passthrough")
	s.td.Step("start")
	s.during("backfill")
	s.enter("the way to synced")
	s.until("phase synced", 2*time.Minute, func() bool { return s.phase() == "synced" })
	s.during("synced")
	switches := 3
	if Full {
		switches = 9
	}
	for i := range switches {
		if i%2 == 0 {
			s.switchOver("cutover")
			s.during("reversed")
		} else {
			s.switchOver("rollback")
			s.during("synced")
		}
	}
}

func (s *Stage) phase() string {
	return s.td.Status().Phase
}

// during lets every part do its rounds in a phase.
func (s *Stage) during(phase string) {
	s.t.Helper()
	s.enter(phase)
	began := time.Now()
	last := make([]int64, len(s.players)) // rounds at the last progress
	for _, p := range s.players {
		p.target.Store(p.rounds.Load() + p.wanted())
	}
	moved := time.Now()
	s.until("rounds in "+phase, 30*time.Minute, func() bool {
		waiting := []string{}
		for i, p := range s.players {
			if n := p.rounds.Load(); n != last[i] {
				last[i], moved = n, time.Now()
			}
			if p.rounds.Load() < p.target.Load() {
				waiting = append(waiting, p.part.Name)
			}
		}
		if len(waiting) == 0 {
			return time.Since(began) >= least()
		}
		if time.Since(moved) > roundTime() {
			s.t.Fatalf("in %s, nothing done for %v by: %s", phase, roundTime(), strings.Join(waiting, ", "))
		}
		return false
	})
}

// enter says in the output what comes now; a problem is reported with it. Mismatches are mended by copies and are no
// problem of a client's, but there must be none, and who looks for a cause wants to know when.
func (s *Stage) enter(act string) {
	s.t.Helper()
	s.act = act
	s.t.Logf("%6.2f s  %s", time.Since(s.began).Seconds(), act)
	if s.td == nil {
		return
	}
	if now := strings.Join(s.td.Mismatches(), ", "); now != s.mismatched {
		s.mismatched = now
		s.t.Logf("          effects answered otherwise than they should be: %s", now)
	}
}

// askAgain is the pause before a switch that was refused is asked for again.
const askAgain = 100 * time.Millisecond

// switchTime is how long it may take until a cutover or rollback comes about, under a load that never ends.
const switchTime = time.Minute

// switchOver takes a cutover or rollback while all parts play. It may be refused or undone under load, if it happens
// in the end: clients see a pause and nothing else. What was refused is in the output.
func (s *Stage) switchOver(step string) {
	s.t.Helper()
	s.enter(step)
	s.until("ready to switch", time.Minute, func() bool {
		st := s.td.Status()
		return st.ReadyToCutover || st.Phase == "reversed"
	})
	s.switches.Add(1)
	s.announce(true)
	for began, refused := time.Now(), ""; ; {
		code, answer := s.td.Ask(step)
		if code == http.StatusOK {
			break
		}
		s.mustBeFine()
		if answer != refused {
			s.t.Logf("          %d %s", code, answer)
			refused = answer
		}
		if code != http.StatusGatewayTimeout && code != http.StatusConflict || time.Since(began) > switchTime {
			s.t.Fatalf("%s has not come about in %v: %d %s", step, time.Since(began).Round(time.Second), code, answer)
		}
		s.undone++
		<-time.After(askAgain)
	}
	s.announce(false)
	s.switches.Add(1)
	st := s.td.Status()
	if st.Cutover.LastPauseMs != nil {
		s.t.Logf("          clients were held for %.1f ms", *st.Cutover.LastPauseMs)
	}
}

func (s *Stage) announce(underway bool) {
	for _, p := range s.players {
		p.mu.Lock()
		f := p.announce
		p.mu.Unlock()
		if f != nil {
			f(underway)
		}
	}
}

// until waits for a condition; the first problem of a part ends the test, for what follows would only hide it.
func (s *Stage) until(what string, within time.Duration, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !ok(); <-tick.C {
		s.mustBeFine()
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s", within, what)
		}
	}
	s.mustBeFine()
}

func (s *Stage) mustBeFine() {
	s.t.Helper()
	var problems []string
	for _, p := range s.players {
		if err := p.problem(); err != nil {
			problems = append(problems, fmt.Sprintf("%s, after %d rounds: %v", p.part.Name, p.rounds.Load(), err))
		}
	}
	if len(problems) > 0 {
		s.t.Fatalf("client saw a problem in %s:\n  %s", s.act, strings.Join(problems, "\n  "))
	}
}

// stop has all parts end after their round, and waits.
func (s *Stage) stop() {
	s.t.Helper()
	if !s.players[0].Going() {
		return // it was done
	}
	s.enter("the end")
	for _, p := range s.players {
		close(p.stopping)
	}
	deadline := time.After(roundTime())
	for _, p := range s.players {
		select {
		case <-p.ended:
		case <-deadline:
			s.t.Errorf("%s does not end", p.part.Name)
			return
		}
		if p.err != nil && !s.t.Failed() {
			s.t.Errorf("%s, after %d rounds: %v", p.part.Name, p.rounds.Load(), p.err)
		}
	}
}

// compare waits until the secondary has everything and compares both keyspaces.
func (s *Stage) compare() {
	s.t.Helper()
	rounds := make([]string, 0, len(s.players))
	for _, p := range s.players {
		rounds = append(rounds, fmt.Sprintf("%s %d", p.part.Name, p.rounds.Load()))
	}
	s.t.Logf("rounds: %s", strings.Join(rounds, ", "))
	if direct || s.t.Failed() {
		return
	}
	s.enter("comparison")
	s.until("all writes settled, nothing dirty", time.Minute, func() bool {
		return s.td.Status().Settled()
	})
	result, err := keyspace.Compare(s.source.Addr, s.target.Addr, keyspace.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	st := s.td.Status()
	s.t.Logf("%d and %d keys, %d differences; effects: %d forwarded, %d mismatched, %d dropped; copies: %d done, %d failed; %d attempts to switch refused or undone",
		result.First, result.Second, len(result.Differences), st.Effects.Forwarded, st.Effects.Mismatched, st.Effects.Dropped,
		st.Copies.Done, st.Copies.Failed, s.undone)
	s.td.MustMatch()
	if len(result.Differences) > 0 {
		s.t.Errorf("source (first) and target (second) differ: %s", result)
	}
	if result.First < fillKeys {
		s.t.Errorf("only %d keys were compared, %d were there at the beginning", result.First, fillKeys)
	}
}
