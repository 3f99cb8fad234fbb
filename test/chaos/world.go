package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/program"
	"tandem/test/wire"
)

// world is two servers and the program, with a relay on every way between them and to the clients.
type world struct {
	t              *testing.T
	seed           uint64
	r              *rand.Rand
	source, target *redisd.Server
	td             *program.Tandem
	links          []*link // of the clients, the source and the target
	victims        map[string]victim
	offset         time.Duration // of the one server whose clock is wrong
	workloads      []workload
	campaign       *campaign

	stop    chan struct{}
	players sync.WaitGroup
}

// The keyspace that is copied beside the clients' own, and how fast, so that sweeps last long enough to be hit.
const (
	fillKeys      = 3000
	fillPerSecond = 4000
)

// newWorld starts everything but the clients, in passthrough. What the seed chooses is in the log.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 0)), campaign: newCampaign(), stop: make(chan struct{})}
	w.offset = time.Duration(500+w.r.IntN(4000)) * time.Millisecond
	if w.r.IntN(2) == 0 {
		w.offset = -w.offset
	}
	binaries := []string{"", ""}
	wrong := w.r.IntN(2)
	binaries[wrong] = wrongClock(t, w.offset)
	w.source, w.target = startServer(t, binaries[0]), startServer(t, binaries[1])
	layout := keyspace.Layout{Keys: fillKeys, Seed: seed}
	if err := layout.Fill(w.source.Addr); err != nil {
		t.Fatal(err)
	}
	w.workloads = []workload{newRegisters(), newLists(), newStreams(), newAccounts(), newScripts(), newMessages(), newMixture()}
	for _, l := range w.workloads {
		if err := l.prepare(w.source.Addr); err != nil {
			t.Fatalf("%s: %v", l.name(), err)
		}
	}
	settings := []string{
		"start: manual",
		fmt.Sprintf("backfill: {max_keys_per_s: %d}", fillPerSecond),
		"primary: {wait: 3s}",
		fmt.Sprintf("lanes: %d", 1+w.r.IntN(3)),
		fmt.Sprintf("max_lag_bytes: %d", []int{256 << 10, 4 << 20, 64 << 20}[w.r.IntN(3)]),
		fmt.Sprintf("max_dirty_keys: %d", []int{1000, 1_000_000}[w.r.IntN(2)]),
		fmt.Sprintf("exact_keys: %d", []int{1024, 2_097_152}[w.r.IntN(2)]),
	}
	// From a source of its own: what is added here changes nothing of what a seed deals.
	more := rand.New(rand.NewPCG(seed, 7))
	settings = append(settings, [][]string{nil, nil, nil, {"ack: both"}}[more.IntN(4)]...)
	settings = append(settings, [][]string{nil, nil, {"scripts: replay"}}[more.IntN(3)]...)
	onSource := newLink(t, "source", w.source.Addr, w.r.IntN(2) == 0)
	onTarget := newLink(t, "target", w.target.Addr, w.r.IntN(2) == 0)
	w.td = program.Prepare(t, "redis://"+onSource.addr, "redis://"+onTarget.addr, settings...)
	ofClients := newLink(t, "client", w.td.Addr, w.r.IntN(2) == 0)
	w.links = []*link{ofClients, onSource, onTarget}
	w.victims = map[string]victim{"source": &serverVictim{server: w.source}, "target": &serverVictim{server: w.target}, "proxy": &proxyVictim{td: w.td}}
	w.td.Start()
	t.Logf("clock of the %s off by %v; %s", []string{"source", "target"}[wrong], w.offset, strings.Join(settings[3:], ", "))
	w.measureClocks()
	return w
}

// startServer starts a server that keeps every write that it has acknowledged, on a port of the tests' own.
func startServer(t *testing.T, binary string) *redisd.Server {
	t.Helper()
	return redisdtest.Start(t, redisd.Options{Binary: binary, Port: program.FreePort(t), Save: true,
		Args: []string{"--appendfsync", "always", "--hz", "50"}})
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

// wrongClock is a redis-server whose wall clock is off.
func wrongClock(t *testing.T, offset time.Duration) string {
	t.Helper()
	library, err := clockLibrary()
	if err != nil {
		t.Fatal(err)
	}
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "redis-server")
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

// play lets the clients begin.
func (w *world) play() {
	n := uint64(0)
	for _, l := range w.workloads {
		for _, play := range l.clients() {
			n++
			c := &client{addr: w.links[0].addr, protocol: 2 + int(n%2), r: rand.New(rand.NewPCG(w.seed, 1000+n)), stop: w.stop, began: w.campaign.began}
			w.players.Go(func() {
				play(c)
				c.drop()
			})
		}
	}
}

// rest ends the clients and waits until the secondary has everything and short lives are over.
func (w *world) rest() {
	w.t.Helper()
	close(w.stop)
	w.players.Wait()
	// What the clients left behind has been executed or has gone when no session is left and all is settled.
	began, told := time.Now(), false
	w.td.WaitStatus("no sessions, all settled", 2*time.Minute, func(s program.Status) bool {
		if time.Since(began) > slowRest && !told {
			told = true
			w.t.Logf("not at rest after %v: %v", slowRest, s)
		}
		return s.Sessions == 0 && s.Settled()
	})
	w.td.Until("all short times to live over", 30*time.Second, func() bool {
		for _, s := range []*redisd.Server{w.source, w.target} {
			if soon, err := expiring(s.Addr); err != nil || soon {
				return false
			}
		}
		return true
	})
	w.td.WaitSettled()
}

// slowRest is when it is said what the program still has to do: it should have nothing to wait for by then.
const slowRest = 15 * time.Second

// expiring says whether a key of the mixture will expire within the next minutes.
func expiring(addr string) (bool, error) {
	conn, err := wire.Dial(addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	for database := range 2 {
		if _, err := conn.Do("SELECT", strconv.Itoa(database)); err != nil {
			return false, err
		}
		keys, err := conn.Do("KEYS", "mix:*")
		if err != nil {
			return false, err
		}
		for _, key := range keys.Strings() {
			life, err := conn.Do("PTTL", key)
			if err != nil {
				return false, err
			}
			if life.Int >= 0 && life.Int < (10*time.Minute).Milliseconds() {
				return true, nil
			}
		}
	}
	return false, nil
}

// judge compares both servers and lets each workload look at both. It returns what is wrong.
func (w *world) judge() (wrong []string) {
	w.t.Helper()
	result, err := keyspace.Compare(w.source.Addr, w.target.Addr, keyspace.Options{TTLTolerance: w.offset.Abs() + keyspace.DefaultTTLTolerance})
	if err != nil {
		w.t.Fatal(err)
	}
	if result.First < fillKeys {
		wrong = append(wrong, fmt.Sprintf("only %d keys were compared", result.First))
	}
	for _, d := range result.Differences {
		wrong = append(wrong, "source and target differ: "+d.String())
	}
	for _, s := range []*redisd.Server{w.source, w.target} {
		conn, err := wire.Dial(s.Addr)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range w.workloads {
			found, err := l.check(conn)
			if err != nil {
				w.t.Fatalf("%s: %v", l.name(), err)
			}
			for _, text := range found {
				wrong = append(wrong, fmt.Sprintf("%s, on the %s: %s", l.name(), sideName(w, s), text))
			}
		}
		conn.Close()
	}
	return wrong
}

func sideName(w *world, s *redisd.Server) string {
	if s == w.source {
		return "source"
	}
	return "target"
}

// operator takes cutovers and rollbacks in turn, whenever the program is ready, until it is told to stop.
func (w *world) operator(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(w.seed, 500))
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(200+r.IntN(800)) * time.Millisecond):
		}
		s, err := w.td.TryStatus()
		if err != nil {
			continue
		}
		step := ""
		switch {
		case s.Phase == "synced" && s.ReadyToCutover:
			step = "cutover"
		case s.Phase == "reversed":
			step = "rollback"
		default:
			continue
		}
		code, answer, err := w.td.TryAsk(step)
		w.campaign.note("%s: %d %.120s %v", step, code, answer, err)
		switch {
		case err != nil:
		case code == http.StatusOK:
			w.campaign.hit(step, "done", 1)
		case code == http.StatusGatewayTimeout:
			w.campaign.hit(step+" undone", "undone", 1)
		default:
			w.campaign.hit(step+" refused", "refused", 1)
		}
	}
}
