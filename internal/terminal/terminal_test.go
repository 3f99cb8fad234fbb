package terminal

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tandem/internal/status"
)

func TestBarIsFullOnlyAtTheEnd(t *testing.T) {
	for percent, want := range map[float64]string{0: "----------", 9.9: "----------", 55: "#####-----", 99.9: "#########-", 100: "##########",
		130: "##########", -1: "----------"} {
		if got := (Look{}).Bar(percent, 10); got != want {
			t.Errorf("%v: %s, want %s", percent, got, want)
		}
	}
}

func TestCurves(t *testing.T) {
	unknown := math.NaN()
	for _, c := range []struct {
		values []float64
		cells  int
		want   string
	}{
		{nil, 3, "   "},
		{[]float64{0, 0}, 3, " ▁▁"},
		{[]float64{9, 1, 2, 4}, 3, "▃▅█"},
		{[]float64{0, 1, 1000}, 3, "▁▂█"}, // a little is not nothing
		{[]float64{unknown, 7, math.Inf(1), 7}, 4, " █ █"},
		{[]float64{1}, 0, ""},
	} {
		got := Look{Unicode: true}.Spark(c.values, c.cells)
		if got != c.want || utf8.RuneCountInString(got) != c.cells {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
	if got := (Look{}).Spark([]float64{0, 4, 8}, 4); got != " _=#" {
		t.Errorf("in ASCII: %q", got)
	}
}

func TestLinesOfProgress(t *testing.T) {
	s := Stage{Name: "copy", Percent: status.Known(50.0), LeftS: status.Known[int64](30), Text: "1 of 2 keys"}
	for want, look := range map[string]Look{
		"copy   50.0 %  30.0 s left  1 of 2 keys":                       {Unicode: true},
		"copy  ##########----------   50.0 %  30.0 s left  1 of 2 keys": {Live: true},
	} {
		if got := look.Line(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (Look{}).Line(Stage{Text: "precheck"}); got != "precheck" {
		t.Errorf("%q", got)
	}
	if got := (Look{Live: true}).Line(Stage{Name: "verify", Text: "12 compared"}); got != "verify  12 compared" {
		t.Errorf("%q", got)
	}
}

func TestProgressWhereNobodyLooks(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	p := NewProgress(&out)
	p.now = func() time.Time { return now }
	show := func(after time.Duration, name string, percent float64) {
		now = now.Add(after)
		p.Show(Stage{Name: name, Percent: status.Known(percent)})
	}
	show(0, "copy", 0)
	show(4*time.Second, "copy", 10)
	show(time.Second, "copy", 20)
	show(time.Second, "verify", 0)
	show(time.Second, "verify", 1)
	p.Clear()
	p.Write([]byte("a line of the log\n"))
	if want := "copy    0.0 %\ncopy   20.0 %  20.0 s left\nverify    0.0 %\na line of the log\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestProgressInPlace(t *testing.T) {
	var out strings.Builder
	p := NewProgress(&out)
	p.look = Look{Live: true}
	p.Show(Stage{Text: "one"})
	p.Show(Stage{Text: "two"})
	p.Write([]byte("log\n"))
	p.Clear()
	p.Show(Stage{Text: "three"})
	p.Clear()
	p.Clear()
	if want := "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Klog\n\r\x1b[Kthree\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestTheTimeThatIsLeft(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var p pace
	for _, c := range []struct {
		name    string
		second  int
		percent float64
		want    int64 // -1: unknown
	}{
		{"a", 0, 40, -1}, {"a", 1, 50, -1}, {"a", 10, 50, 50}, {"a", 20, 60, 40}, {"a", 60, 100, 0},
		{"a", 61, 10, -1}, {"a", 71, 10.1, -1}, // it began anew, and hardly moves
		{"b", 80, 0, -1}, {"b", 90, 50, 10},
	} {
		left, known := p.left(c.name, c.percent, at(c.second)).Get()
		if known != (c.want >= 0) || known && left != c.want {
			t.Errorf("%+v: %d, %v", c, left, known)
		}
	}
}

func TestWhatIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Setenv("LC_ALL", "C.UTF-8")
	if Is(null) || Is(&strings.Builder{}) || LookOf(null) != (Look{Unicode: true}) {
		t.Error("it is taken for a terminal")
	}
	t.Setenv("LC_ALL", "C")
	if LookOf(null).Unicode {
		t.Error("characters that the locale has not")
	}
	if got := (Look{}).Paint(Red, "x"); got != "x" {
		t.Errorf("%q", got)
	}
}

func TestWhatATerminalWouldObeyIsTakenAway(t *testing.T) {
	for text, want := range map[string]string{
		"plain ünï 漢字":              "plain ünï 漢字",
		"a\x1b[2J\rb\x07":           "a?[2J?b?",
		"\u202eevil\u202c \u009b1m": "?evil? ?1m",
		"two\nlines\tof it":         "two\nlines of it",
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := OneLine(" two\n  lines\x1b "); got != "two lines?" {
		t.Errorf("%q", got)
	}
}
