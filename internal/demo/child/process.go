// Package child runs programs beside this one: `tandem serve`, driven through its admin address as any
// user would drive it, and other proxies that it is compared with. The demo and the benchmarks share it.
//
// A Process owns one operating system process: it starts it, keeps the end of its log, and ends it. The
// package never guesses whether a program is ready; it asks, until the program says so or a deadline is
// past.
package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"tandem/internal/printed"
)

const (
	// stopTimeout is how long a process may take to end after SIGINT before it is killed. `tandem serve`
	// drains its clients and its secondary first.
	stopTimeout = 20 * time.Second
	// pollEvery is the pause between two questions whether something is there yet.
	pollEvery = 10 * time.Millisecond
	// logBytes is how much of the end of a log is kept.
	logBytes = 64 << 10
)

// Process is a running child. Its methods may be called from several goroutines.
type Process struct {
	name     string
	cmd      *exec.Cmd
	log      printed.Text
	exited   chan struct{} // closed when the process has been waited for
	patience time.Duration // how long Stop waits before it kills
}

// Spawn starts the program at path. The process is in a group of its own, so a Ctrl-C in the terminal
// reaches only this program, which then decides in what order things end.
func Spawn(name, path string, args ...string) (*Process, error) {
	return spawn(name, path, args, os.Environ())
}

func spawn(name, path string, args, environment []string) (*Process, error) {
	p := &Process{name: name, cmd: exec.Command(path, args...), exited: make(chan struct{}), patience: stopTimeout,
		log: printed.Text{Most: logBytes}}
	p.cmd.Env = environment
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = ownGroup()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, nil
}

// PID is the process id, also after the process has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is the end of what the process has printed.
func (p *Process) Log() string { return p.log.String() }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Ended is nil while the process runs, else an error that says how it ended, with the end of its log.
func (p *Process) Ended() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s has ended: %v\n%s", p.name, p.cmd.ProcessState, p.Log())
	default:
		return nil
	}
}

// Stop asks the process to end, as Ctrl-C does, waits for it, and kills it if it takes too long. The error
// says that it had to be killed or ended with a failure. A second Stop returns the same.
func (p *Process) Stop() error {
	p.cmd.Process.Signal(os.Interrupt) // an error means that it has just ended by itself
	late := time.NewTimer(p.patience)
	defer late.Stop()
	select {
	case <-p.exited:
	case <-late.C:
		p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within %v and was killed\n%s", p.name, p.patience, p.Log())
	}
	state := p.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
		return nil // a program without a handler of its own for it
	}
	if !state.Success() {
		return fmt.Errorf("%s ended with %v\n%s", p.name, state, p.Log())
	}
	return nil
}

// Await calls ready until it succeeds. It gives up when the process ends or ctx does, with the last reason
// why it was not ready and the end of its log.
func (p *Process) Await(ctx context.Context, what string, ready func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended (%v) before it was %s\n%s", p.name, p.cmd.ProcessState, what, p.Log())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not %s: %w\n%s", p.name, what, err, p.Log())
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Dialable returns nil when addr accepts connections.
func Dialable(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// FreeAddr is an address on 127.0.0.1 that nothing listens on. Another program may take it before it is
// used; then the one that wanted it fails to start, and says so.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
