package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
)

// A user whom the target does not know could not be served there: the cutover does not take place, and says so.
func TestNoCutoverWithoutTheUsers(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, true, nil)
	ann := h.client()
	ann.expect("AUTH ann annpw", "+OK")
	ann.expect("SET ann:a 1", "+OK")
	h.settled()
	err := h.notPrepared(h.tgt)
	if !strings.Contains(err.Error(), `"ann"`) || strings.Contains(err.Error(), "annpw") {
		t.Fatalf("prepared: %v", err)
	}
	ann.expect("INCR ann:a", ":2")
	// With the user there it does.
	h.direct(h.target).expect("ACL SETUSER ann on >annpw ~ann:* +@all", "+OK")
	h.swap(h.tgt, h.src)
	ann.expect("INCR ann:a", ":3")
	h.settled()
	h.equal(0, "ann:a")
}

// notPrepared tries to prepare a cutover to an instance that cannot be had, and returns why. A busy machine may not have asked the
// instance when the time is over: then it has more.
func (h *house) notPrepared(to *instance.Instance) error {
	h.t.Helper()
	for within := 500 * time.Millisecond; ; within *= 2 {
		ctx, cancel := context.WithTimeout(h.t.Context(), within)
		_, err := h.shard.Prepare(ctx, to, instance.Facts{})
		cancel()
		if err == nil {
			h.t.Fatal("it is prepared")
		}
		if !errors.Is(err, context.DeadlineExceeded) || within > 10*time.Second {
			return err
		}
	}
}

// A lane must be opened again in the user's name when its connection breaks.
func TestALanePutUpAgainIsTheUsers(t *testing.T) {
	h := newHouseOn(t, locked, redisd.Options{Password: "secret"}, true, nil)
	ann, own := h.client(), h.client()
	ann.expect("AUTH ann annpw", "+OK")
	own.expect("AUTH secret", "+OK")
	for range 3 {
		ann.expect("SET ann:a 1", "+OK")
		own.expect("SET b 1", "+OK")
		lost := h.shard.Counts().LanesLost + uint64(h.cut())
		h.await("the lanes are lost", func() bool { return h.shard.counts.LanesLost >= lost })
		h.await("the lanes are back", func() bool { return h.shard.primary.connected() })
		if got := ann.do("GET b"); !strings.HasPrefix(got, "-NOPERM") {
			t.Error(got)
		}
		own.expect("GET b", "$1 1")
	}
	h.settled()
	h.equal(0, "ann:a", "b")
}
