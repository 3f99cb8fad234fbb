// Package terminaltest has tests run a program on a terminal, and see what somebody in front of it would see. It is for
// Linux, as what it tests is for any terminal.
package terminaltest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a terminal with a program that runs on it. It belongs to the test that started it.
type Terminal struct {
	t       testing.TB
	cmd     *exec.Cmd
	master  *os.File
	before  unix.Termios // how the terminal was
	changed chan struct{}
	ended   chan struct{}

	mu     sync.Mutex
	screen *screen
	wrote  bytes.Buffer
}

// Start runs a command on a terminal of its own, which is its input, output and error. What is on the screen before is for
// the program to leave as it is. The program is killed when the test ends.
func Start(t testing.TB, cmd *exec.Cmd, columns, rows int, before string) *Terminal {
	t.Helper()
	master, slave, err := open()
	if err != nil {
		t.Fatalf("open a terminal: %v", err)
	}
	tt := &Terminal{t: t, cmd: cmd, master: master, changed: make(chan struct{}, 1), ended: make(chan struct{}), screen: newScreen(columns, rows)}
	tt.screen.write([]byte(before))
	tt.setSize(columns, rows)
	tt.before = tt.mode()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(tt.read)
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		slave.Close()  // its last holder: what was written is read to its end
		reading.Wait()
		close(tt.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-tt.ended
		master.Close()
		if len(tt.screen.unknown) > 0 {
			t.Errorf("the terminal was sent what it does not know: %s", strings.Join(tt.screen.unknown, ", "))
		}
	})
	return tt
}

// open opens both ends of a pseudo-terminal.
func open() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0); err != nil {
		return nil, nil, err
	}
	var n int
	if err = errors.Join(control(master, func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) }),
		control(master, func(fd int) (err error) {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
			return err
		})); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
	}
	return master, slave, err
}

// control does something with a file's descriptor, and leaves the file one that can be waited for.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	return errors.Join(raw.Control(func(fd uintptr) { failed = do(int(fd)) }), failed)
}

func (tt *Terminal) setSize(columns, rows int) {
	tt.t.Helper()
	size := &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}
	if err := control(tt.master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) }); err != nil {
		tt.t.Fatalf("size of the terminal: %v", err)
	}
}

// mode is how the terminal treats what is typed.
func (tt *Terminal) mode() (mode unix.Termios) {
	tt.t.Helper()
	err := control(tt.master, func(fd int) error {
		now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			mode = *now
		}
		return err
	})
	if err != nil {
		tt.t.Fatalf("mode of the terminal: %v", err)
	}
	return mode
}

// read shows what the program writes, until nobody has the terminal open any more.
func (tt *Terminal) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := tt.master.Read(buf)
		tt.mu.Lock()
		tt.screen.write(buf[:n])
		tt.wrote.Write(buf[:n])
		tt.mu.Unlock()
		select {
		case tt.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Screen is the text on the screen.
func (tt *Terminal) Screen() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.screen.String()
}

// Wrote tells whether something was written, though it may not be on the screen any more, or was there too shortly to be seen.
func (tt *Terminal) Wrote(part string) bool {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return bytes.Contains(tt.wrote.Bytes(), []byte(part))
}

// Type types keys.
func (tt *Terminal) Type(keys string) {
	tt.t.Helper()
	if _, err := tt.master.WriteString(keys); err != nil {
		tt.t.Fatalf("type %q: %v", keys, err)
	}
}

// Resize makes the terminal larger or smaller, as somebody who draws at the corner of its window.
func (tt *Terminal) Resize(columns, rows int) {
	tt.t.Helper()
	tt.mu.Lock()
	tt.screen.resize(columns, rows)
	tt.mu.Unlock()
	tt.setSize(columns, rows)
}

// Until waits until all parts are on the screen at once.
func (tt *Terminal) Until(within time.Duration, parts ...string) string {
	tt.t.Helper()
	return tt.UntilIs(within, fmt.Sprintf("it shows %q", parts), func(text string) bool {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	})
}

// UntilIs waits until the screen is as it should be, and returns it.
func (tt *Terminal) UntilIs(within time.Duration, what string, is func(text string) bool) string {
	tt.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		text := tt.Screen()
		if is(text) {
			return text
		}
		select {
		case <-tt.changed:
		case <-tt.ended:
			if text = tt.Screen(); is(text) {
				return text
			}
			tt.t.Fatalf("the program has ended (%v) before %s:\n%s", tt.cmd.ProcessState, what, text)
		case <-late.C:
			tt.t.Fatalf("not within %s that %s:\n%s", within, what, text)
		}
	}
}

// Wait waits for the end of the program, checks that it has left the terminal as it was, and returns its exit status.
func (tt *Terminal) Wait(within time.Duration) int {
	tt.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-tt.ended:
	case <-late.C:
		tt.t.Fatalf("the program has not ended within %s:\n%s", within, tt.Screen())
	}
	if tt.screen.first != nil || tt.screen.cursorHidden || tt.screen.noWrap {
		tt.t.Errorf("left behind: second screen %v, hidden cursor %v, no wrapping %v", tt.screen.first != nil, tt.screen.cursorHidden, tt.screen.noWrap)
	}
	if now := tt.mode(); now != tt.before {
		tt.t.Errorf("the terminal's mode was %+v and is %+v", tt.before, now)
	}
	return tt.cmd.ProcessState.ExitCode()
}
