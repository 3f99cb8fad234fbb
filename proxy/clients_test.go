package proxy

import (
	"fmt"
	"testing"
)

func TestClientsAreToldInGroups(t *testing.T) {
	h := newHouse(t, false, nil)
	for i := range 5 {
		c := h.client()
		name := "shop"
		if i >= 3 {
			name = "worker"
		}
		c.expect("CLIENT SETNAME "+name, "+OK")
		c.expect(fmt.Sprintf("SET k%d v", i), "+OK")
	}
	got := h.server.Clients()
	if got.Connections != 5 || got.LeftOut != 0 || len(got.Groups) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct {
		name string
		n    int64
	}{{"shop", 3}, {"worker", 2}} {
		g := got.Groups[i]
		if g.Name != want.name || g.Connections != want.n || g.Active != want.n || g.Host != "127.0.0.1" || g.User != "default" || g.Command != "SET" {
			t.Errorf("group %d: %+v", i, g)
		}
	}
}

// A hundred thousand different names must not make an answer of that size.
func TestGroupsOfClientsAreBounded(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.MaxClients = maxGroups + 10 })
	for i := range maxGroups + 3 {
		h.client().expect(fmt.Sprintf("CLIENT SETNAME n%d", i), "+OK")
	}
	if got := h.server.Clients(); len(got.Groups) != maxGroups || got.LeftOut != 3 || got.Connections != maxGroups+3 {
		t.Errorf("%d groups, %d left out of %d", len(got.Groups), got.LeftOut, got.Connections)
	}
}

// What a chart shows of kinds and latencies is what clients got, of the server that it belongs to.
func TestCommandsAreCountedByKindAndInstance(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	before := h.shard.Counts().Kinds
	for range 3 {
		c.expect("SET k v", "+OK")
	}
	c.expect("GET k", "$1 v")
	c.expect("BLPOP nothing 0.01", "*-1")
	c.send("*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 7\r\n$1\r\n0\r\n")
	if got := c.reply(); got != ":7" {
		t.Fatal(got)
	}
	h.await("the effects are acknowledged", func() bool { return h.shard.ledger.Unsettled() == 0 })
	now := h.shard.Counts().Kinds
	for kind, want := range map[CommandKind]uint64{ReadCommand: 1, ScriptCommand: 1} {
		if got := now[kind] - before[kind]; got != want {
			t.Errorf("%d of kind %d, want %d", got, kind, want)
		}
	}
	if got := now[WriteCommand] - before[WriteCommand]; got < 3 || got > 5 { // a BLPOP may be tried more than once
		t.Errorf("%d writes", got)
	}
	source, target := h.shard.Latencies()
	if source.Count() < 5 || target.Count() < 3 {
		t.Errorf("%d answers of the source and %d effects of the target were timed", source.Count(), target.Count())
	}
	if slowest := source.Quantile(1); slowest <= 0 || slowest > 1e9 {
		t.Errorf("the slowest answer took %v", slowest)
	}
}
