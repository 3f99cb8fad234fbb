package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/router"
)

// What is there before the first test is the library of worker pools, which starts two goroutines on loading.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// house is a proxy between two real servers, in the state that two equal instances are kept in: every key
// is exact unless dirty.
type house struct {
	t              testing.TB
	source, target *redisd.Server
	src, tgt       *instance.Instance
	passwords      map[*redisd.Server]string
	shard          *Shard
	server         *Server
}

func newHouse(t testing.TB, replicate bool, change func(*Options, *ServerOptions)) *house {
	t.Helper()
	return newHouseOn(t, redisd.Options{}, redisd.Options{}, replicate, change)
}

// newHouseOn is newHouse on servers started with these options.
func newHouseOn(t testing.TB, source, target redisd.Options, replicate bool, change func(*Options, *ServerOptions)) *house {
	t.Helper()
	return newHouseBehind(t, source, target, func(s *redisd.Server) string { return s.Addr }, replicate, change)
}

// newHouseBehind is newHouseOn with something in front of the servers, that tells its address.
func newHouseBehind(t testing.TB, source, target redisd.Options, front func(*redisd.Server) string, replicate bool, change func(*Options, *ServerOptions)) *house {
	t.Helper()
	h := &house{t: t, source: redisdtest.Start(t, source), target: redisdtest.Start(t, target)}
	h.passwords = map[*redisd.Server]string{h.source: source.Password, h.target: target.Password}
	var err error
	if h.src, err = instance.New(instance.Source, "redis://"+front(h.source), instance.Options{Password: source.Password}); err != nil {
		t.Fatal(err)
	}
	if h.tgt, err = instance.New(instance.Target, "redis://"+front(h.target), instance.Options{Password: target.Password}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	l := ledger.New(ledger.Options{MaxDirty: 1000, MaxExact: 1000, Now: func() int64 { return time.Now().UnixNano() }})
	o := Options{ID: "test", Generation: "1", MaxLagBytes: 1 << 20, AckTimeout: time.Second, PrimaryWait: 2 * time.Second,
		Settle: time.Second, OnConnect: func(*instance.Instance, instance.Facts) {}, Log: log}
	if o.Deny, err = router.NewDeny(router.DefaultDeny); err != nil {
		t.Fatal(err)
	}
	so := ServerOptions{Limits: resp.DefaultLimits, MaxClients: 100, OutputLimit: 64 << 20, Memory: 1 << 30, WriteTimeout: 5 * time.Second,
		KeepAlive: time.Minute, Log: log}
	if change != nil {
		change(&o, &so)
	}
	h.shard = NewShard(l, h.src, instance.Facts{}, 16, o)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server = NewServer(h.shard, listener, so)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = h.server.Serve()
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		h.server.Shutdown(ctx)
		h.shard.Close()
		if h.shard.effects != nil {
			h.shard.effects.Stop()
		}
		<-served
	})
	if replicate {
		e := h.shard.NewEffectLane(h.tgt, instance.Facts{})
		e.Start()
		h.await("the effect lane", e.Up)
		h.shard.lock()
		h.shard.Replicate(e)
		h.shard.unlock()
	}
	return h
}

// await waits for a condition that is looked at under the shard's lock. It is patient, for the machine may have much else
// to do.
func (h *house) await(what string, condition func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.shard.Await(ctx, condition); err != nil {
		h.t.Fatalf("%s did not come about", what)
	}
}

// settled waits until the secondary has acknowledged everything.
func (h *house) settled() {
	h.t.Helper()
	h.await("quiet", func() bool { return h.shard.ledger.Unsettled() == 0 && h.shard.Answered() })
}

// wire is a client's connection, byte for byte.
type wire struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &wire{t: t, Conn: c, r: bufio.NewReader(c)}
}

// direct connects to a server itself.
func (h *house) direct(s *redisd.Server) *wire {
	h.t.Helper()
	w := dial(h.t, s.Addr)
	if p := h.passwords[s]; p != "" {
		w.expect("AUTH "+p, "+OK")
	}
	return w
}

func (h *house) client() *wire { h.t.Helper(); return dial(h.t, h.server.Addr().String()) }

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.t.Fatal(err)
	}
}

// reply reads one reply and returns it as it came, CRLF as spaces.
func (w *wire) reply() string {
	w.t.Helper()
	var b []byte
	var f resp.Framer
	for {
		c, err := w.r.ReadByte()
		if err != nil {
			w.t.Fatalf("after %q: %v", b, err)
		}
		b = append(b, c)
		if _, done, err := f.Feed(b[len(b)-1:]); err != nil {
			w.t.Fatalf("%q: %v", b, err)
		} else if done {
			return strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", " "))
		}
	}
}

// do sends one command, words separated by spaces, and returns its reply.
func (w *wire) do(command string) string {
	w.t.Helper()
	w.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
	return w.reply()
}

func (w *wire) expect(command, want string) {
	w.t.Helper()
	if got := w.do(command); got != want {
		w.t.Fatalf("%s: %q, want %q", command, got, want)
	}
}

// equal compares a key on both servers by its DUMP and its expiry.
func (h *house) equal(db int, keys ...string) {
	h.t.Helper()
	a, b := h.direct(h.source), h.direct(h.target)
	for _, w := range []*wire{a, b} {
		w.expect(fmt.Sprintf("SELECT %d", db), "+OK")
	}
	for _, k := range keys {
		for _, c := range []string{"DUMP ", "PEXPIRETIME "} {
			if x, y := a.do(c+k), b.do(c+k); x != y {
				h.t.Errorf("db %d, %s%s: source %q, target %q", db, c, k, x, y)
			}
		}
	}
}

// nothing is a client's way to make sure that no more has come: the answer to a PING is next.
func (w *wire) nothingMore(pong string) {
	w.t.Helper()
	w.expect("PING", pong)
}

// resp3 is a client of RESP3.
func (h *house) resp3() *wire {
	h.t.Helper()
	c := h.client()
	if got := c.do("HELLO 3"); !strings.HasPrefix(got, "%") {
		h.t.Fatal(got)
	}
	return c
}

// roles are the instances in turn: primary and secondary after the nth swap, from 1.
func (h *house) roles(n int) (primary, secondary *instance.Instance) {
	if n%2 == 1 {
		return h.tgt, h.src
	}
	return h.src, h.tgt
}
