package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
	"tandem/test/wire"
)

// chooseServers starts two servers, one of them with a wrong clock: two of the installed version for one seed of three,
// two of any one version that this machine has for another, any two for the third.
func (w *world) chooseServers(r *rand.Rand) {
	w.t.Helper()
	all, paths := redisdtest.Binaries(w.t), [2]string{"redis-server", "redis-server"}
	switch r.IntN(3) {
	case 0:
		paths[0] = all[r.IntN(len(all))].Path
		paths[1] = paths[0]
	case 1:
		paths[0], paths[1] = all[r.IntN(len(all))].Path, all[r.IntN(len(all))].Path
	}
	paths[w.wrong] = wrongClock(w.t, paths[w.wrong], w.offset)
	w.source, w.target = startServer(w.t, paths[0]), startServer(w.t, paths[1])
	w.older = older(w.t, w.source, w.target)
}

// startServer starts a server that keeps every write that it has acknowledged, on a port of the tests' own.
func startServer(t *testing.T, binary string) *redisd.Server {
	t.Helper()
	return redisdtest.Start(t, redisd.Options{Binary: binary, Port: program.FreePort(t), Save: true,
		Args: []string{"--appendfsync", "always", "--hz", "50"}})
}

// older is what the server of the two is that lacks more commands.
func older(t *testing.T, servers ...*redisd.Server) (least wire.Server) {
	t.Helper()
	for i, s := range servers {
		conn, err := wire.Dial(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		is, err := conn.Server()
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 || !is.HasGetDel() {
			least = is
		}
	}
	return least
}

// clockLibrary is what gives a process a wrong clock, made once.
var clockLibrary = sync.OnceValues(func() (string, error) {
	root, err := program.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("tandem-clock-%d.so", os.Getpid()))
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-o", path, filepath.Join(root, "test/chaos/clock/offset.c")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make the wrong clock: %w\n%s", err, out)
	}
	return path, nil
})

// wrongClock is a server program whose wall clock is off.
func wrongClock(t *testing.T, program string, offset time.Duration) string {
	t.Helper()
	library, err := clockLibrary()
	if err != nil {
		t.Fatal(err)
	}
	server, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "server")
	script := fmt.Sprintf("#!/bin/sh\nCLOCK_OFFSET_MS=%d LD_PRELOAD=%s exec %s \"$@\"\n", offset.Milliseconds(), library, server)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// measureClocks counts by how much the servers' clocks really differ.
func (w *world) measureClocks() {
	w.t.Helper()
	var at [2]int64
	for i, s := range []*redisd.Server{w.source, w.target} {
		reply, err := wire.Once(s.Addr, "TIME")
		if err != nil {
			w.t.Fatal(err)
		}
		seconds, err1 := strconv.ParseInt(reply.Elems[0].Str, 10, 64)
		micros, err2 := strconv.ParseInt(reply.Elems[1].Str, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			w.t.Fatal(err)
		}
		at[i] = seconds*1000 + micros/1000
	}
	w.campaign.hit("clock offset", "ms", max(at[0]-at[1], at[1]-at[0]))
}

// mustDo is one command that the server must not refuse.
func mustDo(t *testing.T, addr string, args ...string) wire.Reply {
	t.Helper()
	reply, err := wire.Once(addr, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return reply
}
