package redisd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// args is the command line. Later arguments win, so the caller's come last.
func (s *Server) args() []string {
	a := []string{
		"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.Dir,
		"--daemonize", "no", "--logfile", "", "--save", "",
	}
	if s.opts.Save {
		// Without fsync a killed process loses nothing that it answered; only a killed machine would.
		// Rewriting the file would fork in the middle of measurements.
		a = append(a, "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
	} else {
		a = append(a, "--appendonly", "no")
	}
	if s.opts.Password != "" {
		a = append(a, "--requirepass", s.opts.Password)
	}
	return append(a, s.opts.Args...)
}

// start runs the process and waits until it serves. s.mu is held.
func (s *Server) start() error {
	cmd := exec.Command(s.path, s.args()...)
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s on %s: start: %w", s.Name, s.Addr, err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // how it ended is of no interest; its log says why
		close(exited)
	}()
	s.cmd, s.exited, s.paused = cmd, exited, false
	if err := s.waitServing(); err != nil {
		s.end(syscall.SIGKILL)
		return fmt.Errorf("%s on %s: %w\n%s", s.Name, s.Addr, err, s.log.String())
	}
	return nil
}

// waitServing returns when the process that was started, and no other that happens to have the port,
// answers PING with anything but -LOADING.
func (s *Server) waitServing() error {
	started := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := probe(s.Addr, s.opts.Password, s.cmd.Process.Pid)
		if err == nil {
			return nil
		}
		bound := startTimeout
		if errors.Is(err, errLoading) {
			bound = loadTimeout
		}
		if time.Since(started) > bound {
			return fmt.Errorf("not serving after %v: %w", bound, err)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("ended while starting: %v", s.cmd.ProcessState)
		case <-tick.C:
		}
	}
}

// running reports whether the process is alive. s.mu is held.
func (s *Server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// end signals the process and waits until it is gone, killing it if SIGTERM takes too long. s.mu is held.
func (s *Server) end(sig syscall.Signal) {
	if !s.running() {
		return
	}
	// Errors mean that it has just ended by itself, which is what is wanted.
	s.cmd.Process.Signal(sig)
	if s.paused { // a stopped process takes no SIGTERM
		s.cmd.Process.Signal(syscall.SIGCONT)
	}
	if sig != syscall.SIGKILL {
		t := time.NewTimer(stopTimeout)
		defer t.Stop()
		select {
		case <-s.exited:
			return
		case <-t.C:
			s.cmd.Process.Kill()
		}
	}
	<-s.exited
}

func (s *Server) removeDir() {
	if s.tempDir {
		os.RemoveAll(s.Dir)
	}
}

// snapshot asks the server to write all its data and end. s.mu is held.
func (s *Server) snapshot() error {
	_, err := ask(s.Addr, s.opts.Password, loadTimeout, "SHUTDOWN", "SAVE")
	// The connection closes when the server has ended; an error reply means that it stays.
	if err != nil && strings.HasPrefix(err.Error(), "-") {
		return fmt.Errorf("%s on %s: save before restart: %w", s.Name, s.Addr, err)
	}
	<-s.exited
	return nil
}
