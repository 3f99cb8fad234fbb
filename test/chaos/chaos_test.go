package chaos

import (
	"flag"
	"os"
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
		t.Run("seed "+s, func(t *testing.T) { play(t, seed) })
	}
}

// How the faults are dealt: all kinds once by so many dealers, with pauses of up to so long between two; then what has
// met nothing, again, at most so often.
const (
	dealers   = 2
	dealPause = 1200 * time.Millisecond
	again     = 5
)

// play is one campaign: clients of all kinds, a migration, every fault, switches all the time; then rest, and judgement.
func play(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what happened when:\n%s", strings.Join(w.campaign.diary, "\n"))
		}
	})
	began := time.Now()
	w.play()
	w.td.Step("start")
	stopOperator := make(chan struct{})
	operating := make(chan struct{})
	go func() {
		defer close(operating)
		w.operator(stopOperator)
	}()
	cards := append(deck(w.r, w.links, w.victims), deck(w.r, w.links, w.victims)...)
	for round, left := 0, cards; len(left) > 0 && round <= again && w.campaign.failed() == nil; round++ {
		w.campaign.deal(seed+uint64(round)<<32, left, dealers, dealPause)
		left = w.campaign.missed(cards)
	}
	faults := time.Since(began)
	w.switches()
	close(stopOperator)
	<-operating
	w.rest()
	wrong := w.judge()
	for _, l := range w.workloads {
		t.Logf("%-10s %s", l.name(), l.summary())
	}
	t.Logf("faults for %v, all %v; what they really hit:\n%s", faults.Round(time.Second), time.Since(began).Round(time.Second), w.campaign.report())
	if err := w.campaign.failed(); err != nil {
		t.Error(err)
	}
	for _, one := range w.campaign.missed(append(slices.Clone(cards), card{kind: "cutover"}, card{kind: "rollback"}, card{kind: "clock offset"})) {
		t.Errorf("%s has hit nothing", one.kind)
	}
	if n := lost.count(); n > 0 {
		t.Errorf("the run is void: a relay has dropped bytes %d times, which no network does", n)
	}
	for i, text := range wrong {
		if i == 20 {
			t.Errorf("... %d more", len(wrong)-i)
			break
		}
		t.Error(text)
	}
}

// switches waits until there was at least one cutover and one rollback: those of the operator, whom faults have kept from it.
func (w *world) switches() {
	w.t.Helper()
	w.td.Until("a cutover and a rollback", time.Minute, func() bool {
		return len(w.campaign.missed([]card{{kind: "cutover"}, {kind: "rollback"}})) == 0
	})
}
