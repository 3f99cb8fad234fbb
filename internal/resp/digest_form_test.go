package resp

import "testing"

func TestDigestsOfForms(t *testing.T) {
	for _, c := range []struct {
		form Form
		a, b string
		same bool
	}{
		{Exact, "$1\r\n1\r\n", "$3\r\n1.0\r\n", false},
		{Numbers, "$1\r\n1\r\n", "$3\r\n1.0\r\n", true},
		{Numbers, "$3\r\n0.1\r\n", ",0.10000000000000001\r\n", true},
		{Exact, "$-1\r\n", "_\r\n", true},
		{Exact, "$0\r\n\r\n", "$-1\r\n", false},
		{Exact, "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n", false},
		{Set, "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "~2\r\n$1\r\nb\r\n$1\r\na\r\n", true},
		{Set, "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$1\r\na\r\n", false},
		{Set, "*2\r\n$1\r\na\r\n$1\r\na\r\n", "*2\r\n$1\r\nb\r\n$1\r\nb\r\n", false},
		{Set, "*0\r\n", "*1\r\n$1\r\na\r\n", false},
		{Set, "*0\r\n", "~0\r\n", true},
		{Pairs, "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n", "%2\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n1\r\n", true},
		{Pairs, "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n", "*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n1\r\n", false},
	} {
		a, errA := DigestAs(c.form, []byte(c.a))
		b, errB := DigestAs(c.form, []byte(c.b))
		if errA != nil || errB != nil || (a == b) != c.same {
			t.Errorf("form %d, %q and %q: same is %v, %v, %v", c.form, c.a, c.b, a == b, errA, errB)
		}
	}
	for _, form := range []Form{Exact, Numbers, Set, Pairs} {
		for _, bad := range []string{"-ERR x\r\n", "*1\r\n-ERR x\r\n", "*2\r\n$1\r\na\r\n", "*1\r\n$1\r\na\r\n$1\r\n", "*-1\r\n$1\r\n"} {
			if _, err := DigestAs(form, []byte(bad)); err == nil {
				t.Errorf("form %d: %q has a digest", form, bad)
			}
		}
	}
}
