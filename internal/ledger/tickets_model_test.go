package ledger

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTicketsOfAnyKind lets writes of all kinds come, give up and end in any order: of two that conflict the
// earlier goes first unless they are a write and a copy's read, no two lanes are on one stripe, and all go.
func TestTicketsOfAnyKind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &ticketModel{f: newFixture(t), t: rt}
		for range 4 {
			m.f.AddLane(Primary)
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			m.step()
		}
		for len(m.flight) > 0 {
			m.end(rapid.IntRange(0, len(m.flight)-1).Draw(rt, "end"))
		}
		if len(m.waiting) > 0 || len(m.f.queues) > 0 || m.f.inflight != 0 || len(m.f.tickets) != 0 {
			rt.Fatalf("%d writes wait for ever", len(m.waiting))
		}
	})
}

// ticketModel knows what waits and what is in flight, in order.
type ticketModel struct {
	f               *fixture
	t               *rapid.T
	waiting, flight []*modelWrite
}

type modelWrite struct {
	Write
	m *ticketModel
}

const copierLane = 3

func (m *ticketModel) step() {
	switch rapid.IntRange(0, 9).Draw(m.t, "what") {
	case 0:
		if len(m.waiting) > 0 {
			i := rapid.IntRange(0, len(m.waiting)-1).Draw(m.t, "cancelled")
			w := m.waiting[i]
			m.waiting = slices.Delete(m.waiting, i, i+1)
			m.f.Cancel(&w.Write)
		}
	case 1, 2, 3:
		if len(m.flight) > 0 {
			m.end(rapid.IntRange(0, len(m.flight)-1).Draw(m.t, "ended"))
		}
	default:
		m.come()
	}
}

func (m *ticketModel) come() {
	w := &modelWrite{m: m}
	w.Waiter = w
	w.Lane = LaneID(rapid.IntRange(0, 2).Draw(m.t, "lane"))
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3)
	switch rapid.IntRange(0, 9).Draw(m.t, "kind") {
	case 0:
		w.Kind, w.DBs = Flush, []int{0}
	case 1, 2:
		w.Kind, w.Lane = CopyRead, copierLane
		w.Keys = []Key{key(names.Draw(m.t, "keys")[0])}
	default:
		for _, n := range names.Draw(m.t, "keys") {
			w.Keys = append(w.Keys, key(n))
		}
	}
	m.waiting = append(m.waiting, w)
	if m.f.Acquire(&w.Write) {
		w.Granted(nil)
	}
}

func (w *modelWrite) Granted(*Write) {
	m := w.m
	for _, x := range m.flight {
		if x.Lane != w.Lane && x.conflicts(w) {
			m.t.Fatalf("%s goes with %s in flight", w, x)
		}
	}
	i := slices.Index(m.waiting, w)
	for _, x := range m.waiting[:i] {
		if x.conflicts(w) && (x.Kind == CopyRead) == (w.Kind == CopyRead) && w.Kind != CopyRead {
			m.t.Fatalf("%s overtakes %s", w, x)
		}
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
	m.flight = append(m.flight, w)
}

// end answers one; a lane's are answered in order.
func (m *ticketModel) end(i int) {
	lane := m.flight[i].Lane
	i = slices.IndexFunc(m.flight, func(x *modelWrite) bool { return x.Lane == lane })
	w := m.flight[i]
	m.flight = slices.Delete(m.flight, i, i+1)
	if w.Kind == CopyRead {
		m.f.Unanswered(&w.Write)
		return
	}
	m.f.Reply(&w.Write, nil)
}

func (w *modelWrite) conflicts(x *modelWrite) bool {
	if w.barrier() || x.barrier() {
		return true
	}
	for _, k := range w.Keys {
		if slices.ContainsFunc(x.Keys, func(y Key) bool { return y.Hash.Stripe() == k.Hash.Stripe() }) {
			return true
		}
	}
	return false
}

func (w *modelWrite) String() string {
	s := fmt.Sprint("kind ", w.Kind, " on lane ", w.Lane)
	for _, k := range w.Keys {
		s += " " + string(k.Name)
	}
	return s
}
