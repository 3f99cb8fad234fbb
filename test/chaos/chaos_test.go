package chaos

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/test/program"
)

var seeds = flag.String("seeds", "1", "what TestSeeds plays: numbers, with spaces between")

func TestMain(m *testing.M) {
	flag.Parse()
	code := program.Main(m)
	for _, text := range found {
		fmt.Println(text)
	}
	if path, err := clockLibrary(); err == nil {
		os.Remove(path)
	}
	os.Exit(code)
}

// TestSeeds plays the campaigns of -seeds.
func TestSeeds(t *testing.T) {
	for _, s := range strings.Fields(*seeds) {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("-seeds: %v", err)
		}
		void := false
		t.Run("seed "+s, func(t *testing.T) { void = play(t, seed) })
		if void {
			t.Run("seed "+s+" again", func(t *testing.T) {
				if play(t, seed) {
					t.Error(errVoid)
				}
			})
		}
	}
}

// How the faults are dealt: all kinds twice by so many dealers, with pauses of up to so long between two; then what has
// met nothing, again, at most so often. After each quarter there is a pause of at most a breath.
const (
	dealers   = 2
	dealPause = 1200 * time.Millisecond
	again     = 5
	breath    = 6 * time.Second
)

// play is one campaign: clients of all kinds, a migration, every fault, switches all the time; then rest, and judgement. It
// returns whether it was void.
func play(t *testing.T, seed uint64) (void bool) {
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what happened when:\n%s", strings.Join(w.campaign.diary, "\n"))
			log := filepath.Join(os.TempDir(), fmt.Sprintf("tandem-campaign-%d.log", seed))
			if err := os.WriteFile(log, []byte(w.td.Logged()), 0o600); err == nil {
				t.Logf("the program's whole log: %s", log)
			}
		}
	})
	began := time.Now()
	if w.toTarget != nil {
		w.td.Step("start")
		w.td.WaitStatus("clients on both servers", 2*time.Minute, func(s program.Status) bool { return s.Phase == "two_way" })
		w.play()
	} else {
		w.play()
		w.td.Step("start")
	}
	stopOperator := make(chan struct{})
	operating := make(chan struct{})
	operate := func() {
		defer close(operating)
		w.operator(stopOperator)
	}
	switch {
	case w.toTarget != nil:
		close(operating) // there are no steps to take
	case w.direct == nil:
		go operate()
	}
	victims := map[string]victim{"source": w.onSource, "target": w.onTarget, "proxy": w.proxy}
	cards := append(deck(w.r, w.links, victims), deck(w.r, w.links, victims)...)
	cards = shuffleIn(rand.New(rand.NewPCG(seed, 8)), cards, w.pressures())
	left, once := cards, []card{{kind: "clock offset"}}
	if w.toTarget == nil {
		once = append(once, steps...)
	}
	if w.direct != nil {
		// Steps are for later: who is connecting anew just when a step looks for him would write to the old primary.
		w.campaign.deal(seed+1<<40, cards[:len(cards)/2], dealers, dealPause)
		w.direct.end()
		w.campaign.hit(bypassing, "writes", int64(w.direct.past.done))
		left, once = cards[len(cards)/2:], append(once, card{kind: bypassing})
		go operate()
	}
	part := uint64(0)
	for round := 0; len(left) > 0 && round <= again && w.campaign.failed() == nil; round++ {
		for some := range slices.Chunk(left, max(1, len(cards)/4)) {
			w.campaign.deal(seed+part<<32, some, dealers, dealPause)
			if w.toTarget == nil {
				w.breathe()
			}
			part++
		}
		left = w.campaign.missed(cards)
	}
	faults := time.Since(began)
	if errors.Is(w.campaign.failed(), errVoid) {
		close(stopOperator)
		<-operating
		close(w.stop)
		w.players.Wait()
		t.Log(w.campaign.failed())
		return true
	}
	if w.toTarget == nil {
		w.switches()
	}
	close(stopOperator)
	<-operating
	w.rest()
	var wrong []string
	if err := w.campaign.failed(); err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, one := range w.campaign.missed(append(slices.Clone(cards), once...)) {
		wrong = append(wrong, one.kind+" has hit nothing")
	}
	for _, line := range lost.take() {
		wrong = append(wrong, "the run is void: a relay has dropped bytes, which no network does: "+line)
	}
	wrong = append(wrong, w.judge()...)
	for _, l := range w.workloads {
		t.Logf("%-10s %s", l.name(), l.summary())
	}
	t.Logf("refused with:\n%s", w.refusals.report())
	t.Logf("faults for %v, all %v; what they really hit:\n%s", faults.Round(time.Second), time.Since(began).Round(time.Second), w.campaign.report())
	if len(wrong) > mostWrong {
		wrong = append(wrong[:mostWrong], fmt.Sprintf("... %d more", len(wrong)-mostWrong))
	}
	for _, text := range wrong {
		t.Error(text)
		found = append(found, fmt.Sprintf("seed %d: %.400s", seed, text))
	}
	return false
}

// found is what was wrong in all campaigns: it is said again after everything else, where it is not looked for in vain among
// the logs.
var found []string

// mostWrong is how much of what is wrong with a campaign is told.
const mostWrong = 20

// breathe lets some time pass without new faults, until the operator has taken a step: so that there are faults on both sides of
// some.
func (w *world) breathe() {
	began, before := time.Now(), w.campaign.hits(steps)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < breath && w.campaign.hits(steps) == before {
		<-tick.C
	}
}

// switches waits until there was at least one cutover and one rollback: those of the operator, whom faults have kept from it.
func (w *world) switches() {
	w.t.Helper()
	w.calm.Store(true)
	w.td.Until("a cutover and a rollback", 3*time.Minute, func() bool {
		return len(w.campaign.missed(steps)) == 0
	})
}

// bypassing is the kind of what those write who go past the program.
const bypassing = "writes past the program"

// steps are what the operator must have done.
var steps = []card{{kind: "cutover"}, {kind: "rollback"}}
