package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/redisd"
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
	onSource       *serverVictim
	onTarget       *serverVictim
	proxy          *proxyVictim
	wrong          int           // 0 or 1: the clock of the source or the target is wrong
	offset         time.Duration // ... by this
	older          wire.Server   // what the one of both is that has fewer commands
	workloads      []workload
	direct         *direct // one of them, nil in campaigns in which everybody comes through the program
	toTarget       *link   // of the clients of the target; nil but where both servers have clients
	campaign       *campaign
	refusals       *refusals
	calm           atomic.Bool // clients do little: see client.rest

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
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 0)), campaign: newCampaign(), refusals: newRefusals(), stop: make(chan struct{})}
	w.offset = time.Duration(500+w.r.IntN(4000)) * time.Millisecond
	if w.r.IntN(2) == 0 {
		w.offset = -w.offset
	}
	w.wrong = w.r.IntN(2)
	// From a source of its own: what is chosen by it changes nothing of what a seed deals.
	more := rand.New(rand.NewPCG(seed, 7))
	settings := [][]string{nil, nil, nil, {"ack: both"}}[more.IntN(4)]
	settings = append(settings, [][]string{nil, nil, {"scripts: replay"}}[more.IntN(3)]...)
	w.chooseServers(more)
	bypassed := more.IntN(3) == 0
	twoWay := rand.New(rand.NewPCG(seed, 10)).IntN(4) == 0
	listenTarget := ""
	if twoWay {
		// A script that writes keys which it does not name has all keys compared afterwards, unless it is repeated.
		listenTarget, bypassed = program.FreeAddr(t), false
		settings = []string{"scripts: replay", "listen_target: " + listenTarget}
	}
	if bypassed {
		settings = append(settings, []string{"tracking: on", "tracking: auto"}[more.IntN(2)], "tracking_quiet: 3s")
	}
	layout := keyspace.Layout{Keys: fillKeys, Seed: seed}
	if err := layout.Fill(w.source.Addr); err != nil {
		t.Fatal(err)
	}
	w.workloads = []workload{newRegisters(), newLists(w.older), newStreams(), newAccounts(), newScripts(), newMessages(), newMixture(), newPages(), newFlushes(), newCaches()}
	if bypassed {
		w.direct = newDirect(w.source.Addr)
		w.workloads = append(w.workloads, w.direct)
	}
	for _, l := range w.workloads {
		if err := l.prepare(w.source.Addr); err != nil {
			t.Fatalf("%s: %v", l.name(), err)
		}
	}
	settings = append([]string{
		"start: manual",
		fmt.Sprintf("backfill: {max_keys_per_s: %d}", fillPerSecond),
		"primary: {wait: 3s}",
		fmt.Sprintf("lanes: %d", 1+w.r.IntN(3)),
		fmt.Sprintf("max_lag_bytes: %d", []int{256 << 10, 4 << 20, 64 << 20}[w.r.IntN(3)]),
		fmt.Sprintf("max_dirty_keys: %d", []int{1000, 1_000_000}[w.r.IntN(2)]),
		fmt.Sprintf("exact_keys: %d", []int{1024, 2_097_152}[w.r.IntN(2)]),
	}, settings...)
	onSource := newLink(t, "source", w.source.Addr, w.r.IntN(2) == 0)
	onTarget := newLink(t, "target", w.target.Addr, w.r.IntN(2) == 0)
	w.td = program.Prepare(t, "redis://"+onSource.addr, "redis://"+onTarget.addr, settings...)
	ofClients := newLink(t, "client", w.td.Addr, w.r.IntN(2) == 0)
	w.links = []*link{ofClients, onSource, onTarget}
	if twoWay {
		w.toTarget = newLink(t, "target's client", listenTarget, w.r.IntN(2) == 0)
		w.links = append(w.links, w.toTarget)
	}
	w.onSource, w.onTarget, w.proxy = &serverVictim{server: w.source}, &serverVictim{server: w.target}, &proxyVictim{td: w.td}
	w.td.Start()
	t.Logf("%s to %s, clock of the %s off by %v; %s", w.source.Name, w.target.Name, []string{"source", "target"}[w.wrong],
		w.offset, strings.Join(settings[3:], ", "))
	w.measureClocks()
	return w
}

// play lets the clients begin.
func (w *world) play() {
	n := uint64(0)
	for _, l := range w.workloads {
		for _, play := range l.clients() {
			n++
			c := &client{doors: w.doors(l, n), protocol: 2 + int(n%2), r: rand.New(rand.NewPCG(w.seed, 1000+n)), stop: w.stop, began: w.campaign.began, refusals: w.refusals, calm: &w.calm}
			w.players.Go(func() {
				play(c)
				c.drop()
			})
		}
	}
}

// doors are where the nth client may connect. Clients of what tells by reads what others have written stay on one side, where both
// servers have clients: what the other side has just written is not there yet.
func (w *world) doors(l workload, n uint64) []string {
	here := w.links[0].addr
	switch l.(type) {
	case *lists, *streams, *accounts, *scripts, *mixture, *flushes:
		if w.toTarget != nil {
			return []string{here, w.toTarget.addr}
		}
	case *registers, *pages:
		if w.toTarget != nil {
			return []string{w.toTarget.addr}
		}
	}
	return []string{here}
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

// expiring says whether a key of the mixture, or a field of one, will expire within the next minutes.
func expiring(addr string) (bool, error) {
	conn, err := wire.Dial(addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	server, err := conn.Server()
	if err != nil {
		return false, err
	}
	soon := func(life int64) bool { return life >= 0 && life < (10*time.Minute).Milliseconds() }
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
			if soon(life.Int) {
				return true, nil
			}
			if !server.HasFieldTTL() || !strings.HasPrefix(key, "mix:hash:") {
				continue
			}
			fields, err := conn.Do("HKEYS", key)
			if err != nil || len(fields.Elems) == 0 {
				return true, err // it has just gone
			}
			lives, err := conn.Do(append([]string{"HPTTL", key, "FIELDS", strconv.Itoa(len(fields.Elems))}, fields.Strings()...)...)
			if err != nil {
				return false, err
			}
			for _, life := range lives.Elems {
				if soon(life.Int) {
					return true, nil
				}
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
	wrong = append(wrong, w.refusals.wrong()...)
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
