package chaos

import "testing"

// The campaigns in which something was found that has been mended since. A seed decides what is dealt and not how it
// meets, so each of these has a test of its own beside the code as well, at the named point.
func TestSeedsThatHaveFoundSomething(t *testing.T) {
	for _, found := range []struct {
		what string
		seed uint64
	}{
		// A rollback was asked for before a process that was killed had taken up its phase again: a nil dereference.
		// migration: TestAStepWaitsUntilTheEarlierPhaseIsTakenUp
		{"a step in the first second of a restart ends the process", 21},
		// A MULTI was refused because the primary was away, and what stood behind it executed without it.
		// proxy: TestWhatFollowsAMULTIThatIsNotSentIsNotExecuted
		{"a transaction that was refused is executed", 3},
	} {
		t.Run(found.what, func(t *testing.T) { play(t, found.seed) })
	}
}
