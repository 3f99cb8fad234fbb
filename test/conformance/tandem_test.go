package conformance

import (
	"fmt"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/test/program"
)

// tandem is the running program, asked more often than elsewhere: a run has hundreds of waits.
type tandem struct {
	*program.Tandem
	t *testing.T
}

// serve starts the program, in passthrough, and waits until it answers.
func serve(t *testing.T, source, target *redisd.Server, settings ...string) *tandem {
	t.Helper()
	return &tandem{program.Serve(t, source, target, append(settings, "start: manual")...), t}
}

// until waits for a condition that comes within a minute.
func (td *tandem) until(what string, ok func() bool) {
	td.t.Helper()
	td.UntilEvery(2*time.Millisecond, what, time.Minute, ok)
}

// settle waits until the secondary has everything. Nobody may be writing. It fails the test, and goes on, when
// something will never settle by itself.
func (td *tandem) settle() {
	td.t.Helper()
	if failing := td.settled(); failing != "" {
		td.t.Errorf("this never settles: %s", failing)
	}
}

// settled is settle for those who decide themselves what never to settle means; "" when all has settled.
func (td *tandem) settled() (failing string) {
	td.t.Helper()
	td.until("nothing dirty, nothing unsettled, no sweep", func() bool {
		s := td.Status()
		for _, b := range s.Blockers {
			if b.Code == "copy_failing" {
				failing = b.Message
			}
		}
		return failing != "" || s.Settled()
	})
	return failing
}

// cutOver makes the target the primary, once nothing stands in the way: libraries of functions may still be
// compared.
func (td *tandem) cutOver() {
	td.t.Helper()
	td.until("ready for a cutover", func() bool { return td.Status().ReadyToCutover })
	td.SwitchOver("cutover")
}

// counts is what replication has done so far, for the log.
func (td *tandem) counts() string {
	s := td.Status()
	return fmt.Sprintf("%d effects forwarded, %d mismatched, %d dropped; %d copies, %d failed", s.Effects.Forwarded,
		s.Effects.Mismatched, s.Effects.Dropped, s.Copies.Done, s.Copies.Failed)
}
