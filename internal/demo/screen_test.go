package demo

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tandem/internal/status"
	"tandem/internal/terminal"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// scenes is one of each phase, with the largest numbers that have to fit.
func scenes() map[string]scene {
	all := make(map[string]scene)
	for _, phase := range []string{status.Passthrough, status.Backfill, status.Synced, status.Reversed, status.Finished} {
		s := scene{clients: 200, perSecond: 20_000, slowest: 12_340 * time.Microsecond,
			source: "127.0.0.1:40001", target: "127.0.0.1:40002", status: status.New()}
		s.status.Phase = phase
		s.status.DirtyKeys, s.status.UnsettledWrites = 1_000_000, 12_345
		s.status.LagMs = status.Known(123.4)
		s.status.Backfill = status.BackfillStatus{State: status.Running, KeysPerS: status.Known(312_345.0),
			Percent: status.Known(48.4), EtaS: status.Known(int64(600))}
		all[phase] = s
	}
	verifying := all[status.Reversed]
	verifying.verify = &status.VerifySummary{Percent: status.Known(100.0), Compared: 1_000_000, Different: 20}
	all["verify"] = verifying
	all["nothing known yet"] = scene{clients: 1, source: "127.0.0.1:1", target: "127.0.0.1:2"}
	return all
}

func TestNothingWrapsOnATerminal(t *testing.T) {
	for name, s := range scenes() {
		for _, look := range []terminal.Look{{}, {Unicode: true}, {Live: true, Color: true, Unicode: true}} {
			for _, line := range s.lines(look) {
				if n := utf8.RuneCountInString(escapes.ReplaceAllString(line, "")); n >= liveWidth {
					t.Errorf("%s: %d columns: %s", name, n, line)
				}
				if !look.Color && strings.Contains(line, "\x1b") {
					t.Errorf("%s: an escape without colour: %q", name, line)
				}
				if !look.Unicode && strings.IndexFunc(line, func(r rune) bool { return r > 127 }) >= 0 {
					t.Errorf("%s: not ASCII: %q", name, line)
				}
			}
		}
	}
}

func TestThePictureHasItsPlace(t *testing.T) {
	// Nothing but the emphasis moves: each row begins in the same column in each phase.
	column := func(row, of string) int { return utf8.RuneCountInString(row[:strings.Index(row, of)]) }
	var want [3]int
	for name, s := range scenes() {
		if s.clients == 1 {
			continue
		}
		rows := s.picture(terminal.Look{Unicode: true})
		got := [3]int{column(rows[0], "source"), column(rows[1], "tandem"), column(rows[2], "target")}
		if want == [3]int{} {
			want = got
		}
		if got != want || got[0] != got[2] {
			t.Errorf("%s: columns %v, elsewhere %v", name, got, want)
		}
	}
}

func TestTheArrowIsWhereTheAnswersComeFrom(t *testing.T) {
	look := terminal.Look{}
	for phase, want := range map[string][2]string{
		status.Passthrough: {"==>", " . "}, status.Backfill: {"==>", "-->"}, status.Synced: {"==>", "-->"},
		status.Reversed: {"-->", "==>"}, status.Finished: {" . ", "==>"},
	} {
		rows := scenes()[phase].picture(look)
		if !strings.Contains(rows[0], "+"+want[0]+" source") || !strings.Contains(rows[2], "+"+want[1]+" target") {
			t.Errorf("%s:\n%s", phase, strings.Join(rows, "\n"))
		}
	}
}

func TestALiveScreenGoesBackOverWhatItDrew(t *testing.T) {
	var out strings.Builder
	s := newScreen(Options{Out: &out, Look: terminal.Look{Live: true}})
	s.draw([]string{"one", "two"})
	s.draw([]string{"three"})
	s.done("step", "%d of them", 7)
	s.close()
	want := "\x1b[?25l" + "one\x1b[K\ntwo\x1b[K\n\x1b[J" + "\x1b[2A" + "three\x1b[K\n\x1b[J" + "\x1b[1A\x1b[J" + "  ok step         7 of them\n" + "\x1b[?25h"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestAPlainScreenHasNoEscapes(t *testing.T) {
	var out strings.Builder
	s := newScreen(Options{Out: &out})
	s.draw([]string{"never seen"})
	s.fail("backfill", errors.New("no memory\nlast line of a log"))
	plain := plainDisplay{screen: s}
	moment := scenes()[status.Backfill]
	plain.show(moment)
	plain.show(moment) // within the same second
	s.close()
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "never seen") {
		t.Errorf("got %q", out.String())
	}
	for _, once := range []string{"  !! backfill     no memory\n      last line of a log\n", " 48.4 %  10 min 0 s left  312,345 keys/s\n", "+==> source"} {
		if strings.Count(out.String(), once) != 1 {
			t.Errorf("%q is not there once:\n%s", once, out.String())
		}
	}
}

func TestStepsForPrograms(t *testing.T) {
	var out strings.Builder
	s := newScreen(Options{Out: &out, JSON: true, Look: terminal.Look{Live: true, Color: true}})
	s.draw([]string{"never seen"})
	s.line("never seen")
	s.done("data", "%d keys", 7)
	s.fail("verify", errors.New("two\nlines"))
	s.close()
	want := `{"step":"data","ok":true,"text":"7 keys"}` + "\n" + `{"step":"verify","ok":false,"text":"two\nlines"}` + "\n"
	if out.String() != want {
		t.Errorf("got %swant %s", out.String(), want)
	}
}
