package proxy

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tandem/internal/redisd"
)

// A session that panics with the shard's lock held ends the process, whatever it is about to do: with a lock that is
// never given back everybody would wait, and nothing be said.
func TestAPanicInASessionEndsTheProcess(t *testing.T) {
	const inside = "TEST_SESSION_PANICS"
	commands := []string{"GET k", "BLPOP k 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"}
	if command := os.Getenv(inside); command != "" {
		h := newHouseOn(t, redisd.Options{}, redisd.Options{}, true, nil)
		c := h.client()
		c.expect("XGROUP CREATE s g $ MKSTREAM", "+OK")
		other := h.client()
		other.expect("PING", "+PONG")
		s := h.session()
		h.shard.lock()
		s.sh.primary.lanes = nil // the next command cannot get a lane
		h.shard.unlock()
		t.Fatal("it has been answered: ", other.do(command))
	}
	for _, command := range commands {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=15s")
		cmd.Env = append(os.Environ(), fmt.Sprint(inside, "=", command))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "assignment to entry in nil map") {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
}
