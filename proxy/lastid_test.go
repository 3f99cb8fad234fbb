package proxy

import (
	"testing"
)

// TestTheLastIDIsFoundForUsersWhoMayNotAsk: "$" is an id by the time that the command blocks, whoever is allowed what.
func TestTheLastIDIsFoundForUsersWhoMayNotAsk(t *testing.T) {
	h := newHouse(t, true, nil)
	source, p := h.direct(h.source), h.client()
	for _, entry := range []string{"1-1", "2-2", "3-3"} {
		p.expect("XADD s "+entry+" f v", "$3 "+entry)
	}
	p.expect("XDEL s 3-3", ":1")
	p.expect("XADD gone 9-9 f v", "$3 9-9")
	p.expect("XDEL gone 9-9", ":1")
	p.expect("XADD q:x 1-1 f v", "$3 1-1")
	source.expect("ACL SETUSER app on >pw ~s ~gone ~none +xread +xrevrange +select", "+OK")
	source.expect("ACL SETUSER blind on >pw ~s +xread +select", "+OK")
	for _, c := range []struct{ user, key, want string }{
		{"default", "s", "3-3"}, {"default", "none", "0-0"}, {"app", "s", "3-3"}, {"app", "gone", "9-9"}, {"app", "none", "0-0"},
		{"blind", "s", "3-3"},
	} {
		h.waitsFor(c.user, c.key, c.want)
	}
	b := h.client()
	b.expect("AUTH app pw", "+OK")
	if got := b.do("XREAD BLOCK 0 STREAMS q:x $"); got[:7] != "-NOPERM" {
		t.Errorf("of a stream that the user may not read: %s", got)
	}
	// Nor does the proxy know.
	source.expect("ACL SETUSER default -xinfo", "+OK")
	h.waitsFor("app", "s", "2-2")
	h.waitsFor("app", "gone", "0-0")
	h.waitsFor("blind", "s", "$")
}

// waitsFor checks by what id an XREAD for what is new blocks.
func (h *house) waitsFor(user, key, id string) {
	h.t.Helper()
	b := h.client()
	if user != "default" {
		b.expect("AUTH "+user+" pw", "+OK")
	}
	b.start("XREAD BLOCK 0 STREAMS " + key + " $")
	h.blocked(1)
	got := ""
	for _, s := range h.server.all() {
		h.shard.lock()
		if s.blocks != nil {
			got = string(s.blocks.args[5])
		}
		h.shard.unlock()
	}
	if got != id {
		h.t.Errorf("%s blocks on %s from %s, want %s", user, key, got, id)
	}
	_ = b.Close()
	h.blocked(0)
}
