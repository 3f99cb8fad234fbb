package ledger

import "testing"

func blockedOn(names ...string) *Blocked {
	b := &Blocked{}
	for _, n := range names {
		b.Keys = append(b.Keys, key(n))
	}
	return b
}

// TestBlockedOnIsCopied: whatever the effect, and whatever part of it the key has.
func TestBlockedOnIsCopied(t *testing.T) {
	for _, x := range []struct {
		name   string
		effect *Effect
		keys   []string
		want   Outcome
	}{
		{"not blind", notBlind(), []string{"a"}, Dirtied},
		{"blind", blind(), []string{"a"}, Dirtied},
		{"made from it", notBlind(), []string{"c", "?a"}, Dirtied},
		{"a block that clears it first", &Effect{Steps: []Step{{Blind: true, Keys: []int{0}}, {Keys: []int{0}}}}, []string{"a"}, Dirtied},
		{"another", notBlind(), []string{"c"}, Forwarded},
		{"the destination", notBlind(), []string{"b"}, Dirtied},
		{"named and untouched", &Effect{Steps: []Step{{Keys: []int{0}}}}, []string{"c", "a"}, Forwarded},
		{"nothing changed", nil, []string{"a"}, Unchanged},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t)
			lane := f.AddLane(Primary)
			b := blockedOn("a", "b")
			f.Block(b)
			if got := f.done(lane, x.effect, x.keys...); got != x.want {
				t.Errorf("outcome %d, want %d", got, x.want)
			}
			f.Unblock(b, false)
			if f.Blocking() != 0 || len(f.blockedOn) != 0 {
				t.Error("something is blocked on still")
			}
		})
	}
}

// TestBlockedUntilTheLast of those who block on a key has gone.
func TestBlockedUntilTheLast(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	one, two := blockedOn("a", "a"), blockedOn("a")
	f.Block(one)
	f.Block(one) // told twice
	f.Block(two)
	if f.Drained() {
		t.Error("drained while commands are blocked")
	}
	if n := f.Unsettled(); n != 0 {
		t.Errorf("%d writes are unsettled: a blocked command is none", n)
	}
	f.Unblock(one, false)
	f.Unblock(one, true) // too late to say so
	k := key("a")
	if f.IsDirty(k.Hash) || f.isExact(k.Hash) {
		t.Error("a key that one more blocks on is dirty, or exact")
	}
	f.Unblock(two, false)
	if !f.isExact(k.Hash) || !f.Drained() {
		t.Error("a key that nobody was served from is not exact")
	}
	if got := f.done(lane, notBlind(), "a"); got != Forwarded {
		t.Errorf("outcome %d", got)
	}
}

// TestServedIsDirty, for what only reads its key nothing is, and where nothing is replicated nothing.
func TestServedIsDirty(t *testing.T) {
	f := newFixture(t)
	lane := f.AddLane(Primary)
	before := f.sent(lane, "a")
	b := blockedOn("a", "b")
	b.Keys[1].Write = false
	f.Block(b)
	f.Unblock(b, true)
	a, c := key("a"), key("b")
	if !f.IsDirty(a.Hash) || f.IsDirty(c.Hash) {
		t.Errorf("dirty: %v, %v", f.IsDirty(a.Hash), f.IsDirty(c.Hash))
	}
	// It may be what was popped from.
	if got := f.Reply(before, blind()); got != Dirtied || f.sink.effects != 0 {
		t.Errorf("a blind write from before: outcome %d, %d effects", got, f.sink.effects)
	}
	if got := f.done(lane, blind(), "a"); got != Forwarded || !f.isExact(a.Hash) {
		t.Errorf("a blind write from after: outcome %d", got)
	}
	f.Block(b)
	f.SetSink(Secondary, nil)
	f.Unblock(b, true)
	if f.IsDirty(a.Hash) {
		t.Error("a key is dirty though nothing is replicated")
	}
}
