package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tandem/internal/demo/child"
	"tandem/internal/redisd"
)

// readyTimeout bounds how long a proxy may take until it serves.
const readyTimeout = 20 * time.Second

// arrangement is one way for a client to reach the source: what is measured, beside the others.
type arrangement struct {
	name string
	addr string         // where the client connects
	pids map[string]int // role (proxy, source, target) → process, for CPU times
	// proxy is the process between; nil for none.
	proxy *child.Process
	// client sends a workload to addr; nil for redis-benchmark.
	client func(ctx context.Context, w workload) (clientRun, error)
	// behind is the server that clients are answered by.
	behind *redisd.Server
	// settle returns when everything that the clients were answered has arrived wherever it goes, and fails
	// if something never will. The time it takes belongs to the run. Nil where a reply says it all.
	settle func(ctx context.Context) error
}

// fleet owns every process of a benchmark. stop ends them in the opposite order of their start.
type fleet struct {
	dir    string // for configurations, state directories and the binary; removed by stop
	stops  []func()
	root   string // of the project
	tandem string // path of the binary to measure; empty until it is built
	states int    // state directories given out
	cores  int    // that a tandem may use which is started from now on; 0 for all
}

// newFleet has no processes yet. With tandem empty, the binary is built from root when it is needed.
func newFleet(root, tandem string) (*fleet, error) {
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return nil, fmt.Errorf("directory of the benchmark: %w", err)
	}
	return &fleet{dir: dir, root: root, tandem: tandem}, nil
}

// stop ends all processes and removes all files. Calling it again does nothing.
func (f *fleet) stop() {
	for _, stop := range slices.Backward(f.stops) {
		stop()
	}
	f.stops = nil
	os.RemoveAll(f.dir)
}

// server starts an empty redis-server that never saves.
func (f *fleet) server() (*redisd.Server, error) {
	s, err := redisd.Start(redisd.Options{})
	if err != nil {
		return nil, err
	}
	f.stops = append(f.stops, s.Stop)
	return s, nil
}

// pair starts two of them.
func (f *fleet) pair() (source, target *redisd.Server, err error) {
	if source, err = f.server(); err == nil {
		target, err = f.server()
	}
	return source, target, err
}

// load has clients send a workload once.
func (a *arrangement) load(ctx context.Context, w workload) (clientRun, error) {
	if a.client != nil {
		return a.client(ctx, w)
	}
	return runClient(ctx, a.addr, w)
}

// direct is the client speaking to a server with nothing between.
func (f *fleet) direct(_ context.Context, source *redisd.Server) (*arrangement, error) {
	return &arrangement{name: "direct", addr: source.Addr, behind: source, pids: map[string]int{"source": source.PID()}}, nil
}

// twemproxy puts nutcracker in front of the source, configured as its own documentation recommends for one
// server: no ejection, one server connection, preconnected.
func (f *fleet) twemproxy(ctx context.Context, source *redisd.Server) (*arrangement, error) {
	path, err := nutcrackerPath()
	if err != nil {
		return nil, err
	}
	listen, err := child.FreeAddr()
	if err != nil {
		return nil, err
	}
	stats, err := child.FreeAddr()
	if err != nil {
		return nil, err
	}
	_, statsPort, _ := strings.Cut(stats, ":")
	conf := filepath.Join(f.dir, "nutcracker.yml")
	if err := os.WriteFile(conf, []byte(nutcrackerConf(listen, source.Addr)), 0o600); err != nil {
		return nil, fmt.Errorf("twemproxy's configuration: %w", err)
	}
	return f.inFront(ctx, source, "twemproxy", listen, path, "-c", conf, "-a", "127.0.0.1", "-s", statsPort, "-v", "4")
}

// inFront starts another proxy's program, which listens in front of the source.
func (f *fleet) inFront(ctx context.Context, source *redisd.Server, name, listen, path string, args ...string) (*arrangement, error) {
	p, err := child.Spawn(name, path, args...)
	if err != nil {
		return nil, err
	}
	f.stops = append(f.stops, func() { p.Stop() }) // how a program ends that is done with is of no interest
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := p.Await(ctx, "listening", func() error { return child.Dialable(listen) }); err != nil {
		return nil, err
	}
	return &arrangement{
		name: name, addr: listen, proxy: p, behind: source,
		pids: map[string]int{"proxy": p.PID(), "source": source.PID()},
	}, nil
}

func nutcrackerConf(listen, server string) string {
	return fmt.Sprintf(`bench:
  listen: %s
  redis: true
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  preconnect: true
  server_connections: 1
  servers:
   - %s:1
`, listen, server)
}

// nutcrackerPath finds the program. Debian installs it where only root's PATH leads.
func nutcrackerPath() (string, error) {
	for _, name := range []string{"nutcracker", "/usr/sbin/nutcracker", "/usr/local/sbin/nutcracker"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("twemproxy is not installed (Debian and Ubuntu: apt-get install nutcracker; or leave it out by --only)")
}
