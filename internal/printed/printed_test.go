package printed

import (
	"strings"
	"testing"
)

func TestAllIsKept(t *testing.T) {
	var text Text
	for range 3 {
		if n, err := text.Write([]byte("one two one\n")); n != 12 || err != nil {
			t.Fatal(n, err)
		}
	}
	if text.String() != strings.Repeat("one two one\n", 3) || text.Count("one") != 6 || text.Count("three") != 0 {
		t.Errorf("%q", text.String())
	}
	text.Reset()
	if text.String() != "" || text.Count("one") != 0 {
		t.Errorf("%q is left", text.String())
	}
}

func TestTheEndIsKept(t *testing.T) {
	const most = 1000
	text := Text{Most: most}
	text.Write([]byte("the beginning"))
	text.Write(make([]byte, most))
	text.Write([]byte("the end"))
	if s := text.String(); len(s) != most || strings.Contains(s, "beginning") || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes kept, ending with %q", len(s), s[len(s)-10:])
	}
}
