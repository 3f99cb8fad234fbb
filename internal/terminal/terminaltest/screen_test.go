package terminaltest

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestWhatAScreenShows(t *testing.T) {
	for _, c := range []struct{ name, written, want string }{
		{"lines", "one\r\ntwo", "one|two|"},
		{"a long line", "0123456789abc", "0123456789|abc|"},
		{"to the last column", "0123456789\r\nx", "0123456789|x|"},
		{"scrolling", "a\r\nb\r\nc\r\nd", "b|c|d"},
		{"colours", "\x1b[1;36mred\x1b[m \x1b[38;5;1mx", "red x||"},
		{"places", "\x1b[2;3Hx\x1b[Hy\x1b[3dz\x1b[5Gq", "y|  x| z  q"},
		{"steps", "ab\x1b[Bc\x1b[3Dd\x1b[Ae\x1b[2Cf\bg", "ae  g|d c|"},
		{"the rest of a line", "abcdef\x1b[3G\x1b[K\r\nabcdef\x1b[3G\x1b[1K", "ab|   def|"},
		{"parts of a line", "abcdef\x1b[3G\x1b[2X\x1b[2P-\r\nabc\x1b[2G\x1b[2@", "ab-f|a  bc|"},
		{"all of it", "a\r\nb\x1b[2Jc", "| c|"},
		{"below", "a\r\nb\r\nc\x1b[2;1H\x1b[J", "a||"},
		{"lines between", "a\r\nb\r\nc\x1b[2;1H\x1b[Lx\x1b[1;1H\x1b[M", "x|b|"},
		{"a part that scrolls", "a\r\nb\r\nc\x1b[2;3r\x1b[3;1H\n\x1b[2;1H\x1bMx", "a|x|c"},
		{"letters again", "-\x1b[4b|\tx", "-----|  x||"},
		{"wide letters", "漢字x\r\n\x1b[3Gy", "漢字x|  y|"},
		{"the second screen", "a\x1b[?1049h\x1b[Hb\x1b[?25l", "b||"},
		{"and back", "a\x1b[?1049hb\x1b[?1049lc", "ac||"},
		{"titles and questions", "\x1b]0;title\x07\x1b[?2026$p\x1b[>1ux", "x||"},
	} {
		s := newScreen(10, 3)
		s.write([]byte(c.written))
		if got := strings.ReplaceAll(s.String(), "\n", "|"); got != c.want || len(s.unknown) > 0 {
			t.Errorf("%s: %q, want %q, %v", c.name, got, c.want, s.unknown)
		}
	}
	s := newScreen(10, 3)
	s.write([]byte("\x1b[5q\x0e"))
	if len(s.unknown) != 2 {
		t.Errorf("what it does not know: %q", s.unknown)
	}
}

func TestAProgramOnATerminal(t *testing.T) {
	term := Start(t, exec.Command("/bin/sh", "-c", `stty size; read line; stty size; echo "got $line"; exit 3`), 40, 5, "before\r\n")
	term.Until(10*time.Second, "before\n5 40\n")
	term.Resize(60, 7)
	term.Type("words\n")
	term.Until(10*time.Second, "7 60\ngot words\n")
	if code := term.Wait(10 * time.Second); code != 3 {
		t.Errorf("exit status %d", code)
	}
}
