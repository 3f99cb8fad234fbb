package proxy

import (
	"strings"
	"testing"
)

// TestAHiddenScriptMayWriteToAnyDatabase: of a script that was loaded before there was a proxy Redis shows no source.
func TestAHiddenScriptMayWriteToAnyDatabase(t *testing.T) {
	h := newHouse(t, true, nil)
	c, source := h.client(), h.direct(h.source)
	text := "redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM') redis.call('SELECT', 5) redis.call('SET', 'there', 'x') return 1"
	name := strings.TrimPrefix(source.call("SCRIPT", "LOAD", text), "$40 ")
	if got := c.do("EVALSHA " + strings.Repeat("0", 40) + " 0"); !strings.HasPrefix(got, "-NOSCRIPT") {
		t.Fatal(got)
	}
	c.expect("EVALSHA "+name+" 1 s", ":1")
	h.await("it is known that it is hidden", func() bool { return h.shard.HiddenScripts() == 1 })
	h.await("what it names is copied whole", func() bool { return h.shard.ledger.IsDirty(h.shard.ledger.Hash(0, []byte("s"))) })
	h.read()
	if why, owed := h.sweepOwed(); !owed || !strings.Contains(why, "a database that nobody used") {
		t.Errorf("owed: %v, %s", owed, why)
	}
	c.call("SCRIPT", "LOAD", text)
	h.await("its source has been seen", func() bool { return h.shard.HiddenScripts() == 0 })
}
