package chaos

import (
	"strconv"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/program"
	"tandem/test/wire"
)

// A source without persistence that is killed comes back with nothing, and that is what it holds from then on: clients
// are told no more by the program than by the server alone. The target is made equal to it, and a write that was
// acknowledged before is on neither. Campaigns are played on servers that keep what they acknowledge.
func TestASourceThatLosesItsDataIsStillTheTruth(t *testing.T) {
	source := redisdtest.Start(t, redisd.Options{Port: program.FreePort(t)})
	target := startServer(t, "")
	layout := keyspace.Layout{Keys: 500, Seed: 1}
	if err := layout.Fill(source.Addr); err != nil {
		t.Fatal(err)
	}
	td := program.Serve(t, source, target, "start: manual")
	td.Step("start")
	td.WaitSynced()
	mustDo(t, td.Addr, "SET", "before", "1")
	td.WaitSettled()
	source.Kill()
	if err := source.Restart(true); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		td.Until("a write is taken again", 20*time.Second, func() bool {
			_, err := wire.Once(td.Addr, "SET", "after:"+strconv.Itoa(i), "1")
			return err == nil
		})
	}
	td.Until("the target has no more than the source", time.Minute, func() bool {
		s, err := td.TryStatus()
		return err == nil && s.Settled() && mustDo(t, target.Addr, "DBSIZE").Int == 20
	})
	result, err := keyspace.Compare(source.Addr, target.Addr, keyspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Differences) > 0 || result.First != 20 {
		t.Errorf("source (first) and target (second): %s", result)
	}
	for _, addr := range []string{source.Addr, target.Addr, td.Addr} {
		if got := mustDo(t, addr, "EXISTS", "before").Int; got != 0 {
			t.Errorf("%s has what was written before", addr)
		}
	}
}
