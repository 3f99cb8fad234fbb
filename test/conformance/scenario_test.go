package conformance

import (
	"bufio"
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What a Generator writes is read again as the same conversation.
func TestConversationsSurviveTheirText(t *testing.T) {
	orderly, wild := NewGenerator(corpus(t), false, fit("redis-6.0")), NewGenerator(corpus(t), true, fit("redis-7.0"))
	orderly.Switches = true
	for n := range uint64(100) {
		s := []*Generator{orderly, wild}[n%2].Scenario(n)
		s.Given = len(s.Steps) / 3
		again, err := Parse("found", s.Text())
		if err != nil || len(again) != 1 || !again[0].Alone || len(again[0].Steps) != len(s.Steps) || again[0].Given != s.Given {
			t.Fatalf("seed %d: %v\n%s", n, err, s.Text())
		}
		for i, step := range again[0].Steps {
			want := s.Steps[i]
			same := slices.EqualFunc(step.Commands, want.Commands, func(a, b []string) bool { return slices.Equal(a, b) })
			step.Line, step.Commands, step.Protocol = want.Line, want.Commands, cmp.Or(step.Protocol, want.Protocol) // that of a close is not written
			if !same || !reflect.DeepEqual(step, want) {
				t.Errorf("seed %d, step %d: %s was read as %+v", n, i, want.Line, step)
			}
		}
	}
}

func TestMistakesInScenariosAreFound(t *testing.T) {
	for _, text := range []string{"GET k", "== a\nnosuch k", "== a\n~nosuch GET k", "== a\nGET \"k", "== a\nGET k |", "== a\na< GET k",
		"== a\na>> GET k | GET l"} {
		if all, err := Parse("x", text); err == nil {
			t.Errorf("%q is read as %+v", text, all[0].Steps)
		}
	}
}

// Each mark lets pass what it is for, and nothing else.
func TestMarks(t *testing.T) {
	for _, c := range []struct {
		mark  Mark
		a, b  string
		equal bool
	}{
		{Exact, "$-1\r\n", "$-1\r\n", true}, {Exact, "$-1\r\n", "*-1\r\n", false}, {Exact, "$-1\r\n", "_\r\n", false},
		{Exact, "+1\r\n", ":1\r\n", false}, {Exact, "*1\r\n:1\r\n", "~1\r\n:1\r\n", false}, {Exact, "$1\r\na\r\n", "+a\r\n", false},
		{Unordered, "*2\r\n:1\r\n:2\r\n", "*2\r\n:2\r\n:1\r\n", true}, {Unordered, "*2\r\n:1\r\n:2\r\n", "*2\r\n:2\r\n:2\r\n", false},
		{Unordered, "%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "%2\r\n:3\r\n:4\r\n:1\r\n:2\r\n", true},
		{Unordered, "%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "%2\r\n:1\r\n:4\r\n:3\r\n:2\r\n", false},
		{Near, ":100\r\n", ":99\r\n", true}, {Near, ":-1\r\n", ":99\r\n", false}, {Near, ":100000\r\n", ":90000\r\n", false},
		{Shape, "*1\r\n:1\r\n", "*1\r\n:2\r\n", true}, {Shape, "*1\r\n:1\r\n", "*2\r\n:1\r\n:2\r\n", false}, {Shape, "-ERR a\r\n", "-ERR b\r\n", false},
		{Type, "$1\r\na\r\n", "$2\r\nbb\r\n", true}, {Type, "$1\r\na\r\n", "-ERR\r\n", false},
		{ErrorCode, "-ERR a\r\n", "-ERR b\r\n", true}, {ErrorCode, "-ERR a\r\n", "-NOPERM a\r\n", false},
		{Monitor, "+1.5 [0 1.2.3.4:5] \"get\" \"k\"\r\n", "+2.5 [0 1.2.3.4:6] \"get\" \"k\"\r\n", true},
		{Client, "$19\r\nid=1 name=a sub=10\n\r\n", "$24\r\nid=2 name=a fd=7 sub=10\n\r\n", true},
		{Client, "$19\r\nid=1 name=a sub=10\n\r\n", "$19\r\nid=1 name=a sub=11\n\r\n", false},
		{Client, "$19\r\nid=1 name=a sub=10\n\r\n", "$11\r\nid=1 sub=10\r\n", false},
		{Monitor, "+1.5 [0 1.2.3.4:5] \"get\" \"k\"\r\n", "+1.5 [1 1.2.3.4:5] \"get\" \"k\"\r\n", false},
	} {
		a, b := parsed(t, c.a), parsed(t, c.b)
		if got := c.mark.equal(a, b); got != c.equal {
			t.Errorf("%s and %s are equal by ~%s: %v", a, b, c.mark, got)
		}
		if string(a.appendTo(nil)) != c.a {
			t.Errorf("%q is written as %q", c.a, a.appendTo(nil))
		}
	}
}

func parsed(t *testing.T, text string) Reply {
	t.Helper()
	r, err := readReply(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

// A difference is found wherever it is, a missing reply and an early end included.
func TestDifferencesAreFound(t *testing.T) {
	all, err := Parse("x", "== a\nGET a | GET b\nGET c")
	if err != nil {
		t.Fatal(err)
	}
	one, two := Reply{Kind: ':', Text: "1"}, Reply{Kind: ':', Text: "2"}
	want := Transcript{Replies: [][]Reply{{one, one}, {one}}}
	for _, got := range []Transcript{
		{Replies: [][]Reply{{one, two}, {one}}}, {Replies: [][]Reply{{one, one}, {two}}}, {Replies: [][]Reply{{one}, {one}}},
		{Replies: [][]Reply{{one, one}}, Err: errors.New("ended")},
	} {
		if d := Diff(all[0], want, got); len(d) != 1 {
			t.Errorf("%v for %v: %v", got, want, d)
		}
	}
	if d := Diff(all[0], want, want); d != nil {
		t.Errorf("equal ones differ: %v", d)
	}
}

// Shrinking leaves what the failure needs: here, two commands in their order.
func TestShrinkLeavesTheCause(t *testing.T) {
	s := NewGenerator(corpus(t), true, fit("redis-7.0")).Scenario(1)
	s.Steps = slices.DeleteFunc(s.Steps, func(step Step) bool { return step.Action != Ask })
	s.Steps[10].Commands = append(s.Steps[10].Commands, []string{"FIRST"})
	s.Steps[40].Commands = append(s.Steps[40].Commands, []string{"SECOND"})
	fails := func(s *Scenario) bool {
		text := ""
		for _, step := range s.Steps {
			text += step.text() + "\n"
		}
		i := strings.Index(text, "FIRST")
		return i >= 0 && strings.Contains(text[i:], "SECOND")
	}
	if s = Shrink(s, fails); len(s.Steps) != 2 || len(s.Steps[0].Commands) != 1 || len(s.Steps[1].Commands) != 1 {
		t.Errorf("left is\n%s", s.Text())
	}
}
