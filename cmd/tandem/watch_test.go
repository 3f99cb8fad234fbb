package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/demo/child"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/status"
	"tandem/internal/terminal/terminaltest"
)

// watchTime bounds what the screen takes a second or two for, on a machine with much else to do.
const watchTime = 20 * time.Second

// watched is a tandem between two servers that somebody watches on a terminal.
type watched struct {
	t              *testing.T
	source, target *redisd.Server
	listen, admin  string
	state          string
	tandem         *child.Process
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, state: filepath.Join(t.TempDir(), "state"), source: redisdtest.Start(t, redisd.Options{}), target: redisdtest.Start(t, redisd.Options{})}
	for _, addr := range []*string{&w.listen, &w.admin} {
		var err error
		if *addr, err = child.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// serve starts tandem, for the first time or again.
func (w *watched) serve() {
	w.t.Helper()
	var err error
	w.tandem, err = child.Spawn("tandem", binary, "serve", "--source", w.source.URL(), "--target", w.target.URL(), "--listen", w.listen,
		"--admin", w.admin, "--state-dir", w.state, "--start", "manual")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.tandem.Stop() }) // it may have been killed
	ctx, cancel := context.WithTimeout(w.t.Context(), watchTime)
	defer cancel()
	if err := w.tandem.Await(ctx, "listening", func() error { return child.Dialable(w.listen) }); err != nil {
		w.t.Fatal(err)
	}
}

// run runs a command that talks to it.
func (w *watched) run(args ...string) {
	w.t.Helper()
	if code, stdout, stderr := tandem(w.t, nil, append(args, "--admin", w.admin)...); code != exitDone {
		w.t.Fatalf("%v: %d %s%s", args, code, stdout, stderr)
	}
}

// traffic has a client read and write until the test ends; it connects again when it is cut off.
func (w *watched) traffic() {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			conn, err := net.DialTimeout("tcp", w.listen, time.Second)
			if err != nil {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			replies := bufio.NewReader(conn)
			for n := 0; err == nil; n++ {
				if _, err = fmt.Fprintf(conn, "SET key:%d %d\r\nPTTL key:%d\r\n", n%1000, n, n%1000); err == nil {
					for range 2 {
						_, err = replies.ReadString('\n')
					}
				}
				select {
				case <-time.After(2 * time.Millisecond): // some hundred commands a second
				case <-ctx.Done():
				}
			}
			stop()
			conn.Close()
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// TestWatchingAMigration looks at the screen through all phases of one, while a client reads and writes.
func TestWatchingAMigration(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	cmd := command(t, []string{"LC_ALL=C.UTF-8", "TERM=xterm-256color"}, "status", "--watch", "--admin", w.admin)
	term := terminaltest.Start(t, cmd, 130, 45, "what was there before\r\n")
	sees := func(parts ...string) {
		t.Helper()
		term.Until(watchTime, parts...)
	}

	sees("not reachable", "Is tandem serve running there?", "q quit")
	w.serve()
	w.traffic()
	sees("● passthrough ── ○ backfill", "Next: tandem start", "Nothing has been copied yet.", w.source.Addr+" → "+w.target.Addr)
	flows := regexp.MustCompile(`reads +[1-9][0-9,]*/s +[▁-█]+\n(.*)writes +[1-9][0-9,]*/s +[▁-█]+\n`)
	term.UntilIs(watchTime, "commands are shown", flows.MatchString)

	w.run("start")
	sees("✓ backfill ── ● synced ── ○ reversed", "Next: tandem verify, then tandem cutover", "is kept equal, redis", "phase    synced")
	w.run("verify")
	sees(" keys compared, 0 different, finished", "verify   full done")

	w.target.Kill()
	sees("! secondary_down  target "+w.target.Addr+" is not connected", "→ bring it back; what was missed is copied then", "is kept equal, NOT CONNECTED",
		"Next: remove what blocks the cutover")
	if err := w.target.Restart(false); err != nil {
		t.Fatal(err)
	}
	term.UntilIs(watchTime, "it is mended", func(text string) bool {
		return strings.Contains(text, "● synced") && strings.Contains(text, "Next: tandem verify, then tandem cutover") && !strings.Contains(text, "secondary_down  ")
	})

	w.run("cutover")
	sees("✓ synced ── ● reversed ── ○ finished", "The target answers, the source is kept equal.", "clients waited", "step     cutover done")

	if err := syscall.Kill(w.tandem.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sees("not reachable", "The admin address does not answer: http://"+w.admin, "What is shown is of", "● reversed")
	w.serve()
	term.UntilIs(watchTime, "it is back", func(text string) bool {
		return strings.Contains(text, "● reversed") && !strings.Contains(text, "not reachable") && strings.Contains(text, "step     cutover done") && strings.Contains(text, "sweep    marked done")
	})

	term.Resize(40, 12)
	sees("\n● reversed, then finished\n", "lines below")
	term.Type("\x1b[B\x1b[B\x1b[B") // the arrow down
	sees("lines above", "lines below")
	term.Type("G")
	sees("process  tandem begins")
	term.Resize(200, 60)
	w.run("finish")
	sees("✓ reversed ── ● finished", "The target alone is served.", "is left alone")

	term.Type("q")
	if code := term.Wait(watchTime); code != exitDone {
		t.Errorf("exit status %d", code)
	}
	if left := term.Screen(); strings.TrimSpace(left) != "what was there before" {
		t.Errorf("left on the screen:\n%s", left)
	}
}

// TestAWatchThatIsEnded: however it ends, the terminal is as it was.
func TestAWatchThatIsEnded(t *testing.T) {
	t.Parallel()
	m := &fakeMigration{status: running()}
	url := serveAdmin(t, m, "")
	for name, end := range map[string]func(*terminaltest.Terminal, func(syscall.Signal)){
		"q": func(term *terminaltest.Terminal, _ func(syscall.Signal)) { term.Type("q") },
		"Ctrl-Z where nobody would continue it": func(term *terminaltest.Terminal, _ func(syscall.Signal)) {
			term.Type("\x1a")
			term.Resize(40, 12)
			term.Until(watchTime, "● backfill, then synced")
			term.Type("q")
		},
		"Ctrl-C":  func(term *terminaltest.Terminal, _ func(syscall.Signal)) { term.Type("\x03") },
		"SIGINT":  func(_ *terminaltest.Terminal, send func(syscall.Signal)) { send(syscall.SIGINT) },
		"SIGTERM": func(_ *terminaltest.Terminal, send func(syscall.Signal)) { send(syscall.SIGTERM) },
	} {
		cmd := command(t, []string{"LC_ALL=C.UTF-8", "TERM=xterm-256color", "NO_COLOR=1"}, "status", "--watch", "--admin", url)
		term := terminaltest.Start(t, cmd, 80, 24, "before\r\n")
		term.Until(watchTime, "● backfill", "52.3 %   6.0 s left   81,234")
		end(term, func(s syscall.Signal) {
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		})
		if code := term.Wait(watchTime); code != exitDone {
			t.Errorf("%s: exit status %d", name, code)
		}
		if left := strings.TrimSpace(term.Screen()); left != "before" {
			t.Errorf("%s: left on the screen:\n%s", name, left)
		}
	}
}

// A terminal that can do nothing but show lines gets lines; and the token is asked for before anything is shown.
func TestAWatchWithoutAScreen(t *testing.T) {
	t.Parallel()
	url := serveAdmin(t, &fakeMigration{status: running()}, "")
	cmd := command(t, []string{"TERM=dumb"}, "status", "--watch", "--admin", url)
	term := terminaltest.Start(t, cmd, 100, 80, "")
	text := term.UntilIs(watchTime, "two pictures", func(text string) bool { return strings.Count(text, "phase     backfill: ") == 2 })
	if !strings.HasPrefix(text, "phase     backfill: the source answers") {
		t.Errorf("it begins with\n%s", text)
	}
	term.Type("\x03")
	if code := term.Wait(watchTime); code != exitDone {
		t.Errorf("exit status %d", code)
	}

	closed := serveAdmin(t, &fakeMigration{status: status.New()}, "correct-horse-battery")
	term = terminaltest.Start(t, command(t, []string{"TERM=xterm"}, "status", "--watch", "--admin", closed), 100, 10, "")
	term.Until(watchTime, "the token is missing or wrong")
	if code := term.Wait(watchTime); code != exitUsage {
		t.Errorf("without the token: exit status %d", code)
	}
}
