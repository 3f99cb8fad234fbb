package proxy

import (
	"strings"
	"testing"

	"tandem/internal/redisd"
)

// A transaction that is open is queued again on the new primary. If that does not let the user begin one, what was queued must
// not run there command by command: nothing of it runs, and EXEC says so.
func TestATransactionThatTheNewPrimaryRefusesDoesNotRun(t *testing.T) {
	for _, ends := range []string{"EXEC", "DISCARD"} {
		h := newHouseOn(t, locked, redisd.Options{Password: "secret", Args: []string{"--user", "ann", "on", ">annpw", "~ann:*", "+@all", "-multi"}}, true, nil)
		c := h.client()
		c.expect("AUTH ann annpw", "+OK")
		c.expect("SET ann:before 1", "+OK")
		c.expect("MULTI", "+OK")
		c.expect("SET ann:a 1", "+QUEUED")
		c.expect("INCR ann:before", "+QUEUED")
		h.settled()
		h.swap(h.tgt, h.src)
		if got := c.do("SET ann:b 1"); !strings.HasPrefix(got, "-NOPERM") {
			t.Errorf("what was to be queued behind it: %s", got)
		}
		if got := c.do(ends); ends == "EXEC" && got[0] != '-' || ends == "DISCARD" && got != "+OK" {
			t.Errorf("%s: %s", ends, got)
		}
		c.expect("GET ann:a", "$-1")
		c.expect("GET ann:b", "$-1")
		c.expect("INCR ann:before", ":2")
		h.settled()
		h.equal(0, "ann:a", "ann:b", "ann:before")
	}
}
