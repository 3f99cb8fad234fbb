// Package redisd starts and stops real redis-server and valkey-server processes: for tests, benchmarks and
// the demo.
//
// A Server owns one process, its port and, unless it was given one, its directory. Every process listens on
// 127.0.0.1 only, is in a process group of its own (a Ctrl-C in the terminal reaches this program, which
// then decides in what order things end), and on Linux dies with this program whatever ends it. The package
// knows nothing of testing; redisd/redisdtest does.
package redisd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"tandem/internal/printed"
)

// Limits of waiting. They are generous because a loaded machine starts servers slowly; nothing waits longer
// than it has to.
const (
	// startTimeout bounds the time from exec to the first PING answered; loading data has its own bound.
	startTimeout = 20 * time.Second
	// loadTimeout bounds the time a server may answer -LOADING.
	loadTimeout = 5 * time.Minute
	// stopTimeout is how long a server may take to end after SIGTERM before it is killed.
	stopTimeout = 10 * time.Second
	// pollEvery is the pause between two attempts to reach a server that is not there yet.
	pollEvery = 5 * time.Millisecond
	// portAttempts is how many free ports are tried when another process takes one before the server does.
	portAttempts = 5
	// logBytes is how much of the end of a server's log is kept.
	logBytes = 64 << 10
)

// ErrNotInstalled says that the server's program is not on this machine.
var ErrNotInstalled = errors.New("redis-server is not installed (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis)")

// Options says what to start. The zero value is an empty redis-server, found in PATH, on a free port.
type Options struct {
	// Binary is the program: a path, or a name looked up in PATH. Empty: redis-server.
	Binary string
	// Port to listen on; 0 takes a free one.
	Port int
	// Dir is the server's working directory, which stays after Stop. Empty: a temporary one, removed by Stop.
	Dir string
	// Args are added to the command line last, so they override what this package sets: pairs such as
	// "--maxmemory", "100mb".
	Args []string
	// Password is required of clients when not empty (requirepass).
	Password string
	// Save makes acknowledged writes survive Kill followed by Restart(true), by an append-only file that is
	// written, though not flushed to the disk, before each reply. Without it nothing is ever written.
	Save bool
}

// Server is one process. Its methods may be called from several goroutines; Stop may be called twice.
type Server struct {
	// Addr is 127.0.0.1:Port.
	Addr string
	// Port is the TCP port, the same after each Restart.
	Port int
	// Dir is the server's working directory.
	Dir string
	// Name is the product and version to two places: "redis-7.0", "valkey-8.1".
	Name string

	path    string
	opts    Options
	tempDir bool
	log     printed.Text

	mu     sync.Mutex // guards what follows
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
	paused bool
}

// Start starts a server and returns when it answers PING. On failure nothing is left behind and the error
// holds the end of the server's log.
func Start(o Options) (*Server, error) {
	if o.Binary == "" {
		o.Binary = "redis-server"
	}
	path, err := exec.LookPath(o.Binary)
	if err != nil {
		if filepath.Base(o.Binary) == o.Binary {
			return nil, fmt.Errorf("%s: %w", o.Binary, ErrNotInstalled)
		}
		return nil, fmt.Errorf("server program: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil { // the process runs in another directory
		return nil, fmt.Errorf("server program: %w", err)
	}
	name, err := Version(path)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, path: path, opts: o, Dir: o.Dir, log: printed.Text{Most: logBytes}}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "redisd-"); err != nil {
			return nil, fmt.Errorf("%s: directory: %w", name, err)
		}
		s.tempDir = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 1; ; attempt++ {
		if s.Port = o.Port; s.Port == 0 {
			if s.Port, err = freePort(); err != nil {
				break
			}
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
		// A port that is free now may be taken before the server binds it: with a port of our choice,
		// choose again.
		if err = s.start(); err == nil || o.Port != 0 || attempt == portAttempts {
			break
		}
	}
	if err != nil {
		s.removeDir()
		return nil, err
	}
	return s, nil
}

// versionLine is what --version prints: "Redis server v=7.0.15 ..." or "Valkey server v=8.1.4 ...".
var versionLine = regexp.MustCompile(`(?i)(redis|valkey) server v=(\d+)\.(\d+)`)

// versions are the names that programs gave when they were asked, by path.
var versions sync.Map

// Version asks a server program for its product and version, to two places: "redis-7.0", "valkey-8.1". What a program has
// said once is remembered.
func Version(path string) (string, error) {
	if name, ok := versions.Load(path); ok {
		return name.(string), nil
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", path, err, out)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s --version: not a Redis or Valkey server: %q", path, out)
	}
	product := "redis"
	if m[1][0] == 'V' || m[1][0] == 'v' {
		product = "valkey"
	}
	name := fmt.Sprintf("%s-%s.%s", product, m[2], m[3])
	versions.Store(path, name)
	return name, nil
}

// Stop ends the server, waits for it, and removes the directory if it was a temporary one.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGTERM)
	s.removeDir()
}

// Kill ends the server as a crash does, with SIGKILL, and waits until it is gone. Restart brings it back.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL)
}

// Pause stops the process with SIGSTOP: connections stay open and nothing is answered.
func (s *Server) Pause() error { return s.pause(true) }

// Continue lets a paused process run again.
func (s *Server) Continue() error { return s.pause(false) }

func (s *Server) pause(on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return fmt.Errorf("%s on %s: not running", s.Name, s.Addr)
	}
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s on %s: signal %v: %w", s.Name, s.Addr, sig, err)
	}
	s.paused = on
	return nil
}

// Restart ends the process if it still runs and starts it again on the same port. With keepData it comes
// back with what it had: a running server without Options.Save is asked to write a snapshot first; one that
// was killed has lost what it did not save. Without keepData it comes back empty.
func (s *Server) Restart(keepData bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() && keepData && !s.opts.Save && !s.paused {
		if err := s.snapshot(); err != nil {
			return err
		}
	}
	s.end(syscall.SIGKILL)
	if !keepData {
		for _, f := range []string{"dump.rdb", "appendonly.aof", "appendonlydir"} {
			if err := os.RemoveAll(filepath.Join(s.Dir, f)); err != nil {
				return fmt.Errorf("%s on %s: remove data: %w", s.Name, s.Addr, err)
			}
		}
	}
	return s.start()
}

// PID is the process id, or 0 when the server does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return 0
	}
	return s.cmd.Process.Pid
}

// Log is the end of what the server has printed since Start, restarts included: 64 KiB at most.
func (s *Server) Log() string { return s.log.String() }

// URL is the server's address as Tandem's --source and --target take it, password included.
func (s *Server) URL() string {
	if s.opts.Password != "" {
		return "redis://:" + s.opts.Password + "@" + s.Addr
	}
	return "redis://" + s.Addr
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
