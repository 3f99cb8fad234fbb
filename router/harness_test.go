package router

import (
	"fmt"
	"math/rand"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// args makes a request of words.
func request(words ...string) [][]byte {
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	return args
}

// conn is a raw connection to a real server: requests go and replies come as bytes.
type conn struct {
	t      testing.TB
	name   string
	c      net.Conn
	buf    []byte
	framer resp.Framer
	server Server
}

// dial connects to a server and asks what it is.
func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	k := &conn{t: t, c: c}
	info := k.parse("INFO", "server")
	if k.server, err = ParseServer(string(info.Str)); err != nil {
		t.Fatal(err)
	}
	k.name = k.server.String()
	return k
}

// start starts a server and connects to it.
func start(t testing.TB, b redisdtest.Binary) *conn {
	t.Helper()
	return dial(t, redisdtest.Start(t, redisd.Options{Binary: b.Path}).Addr)
}

// exchange sends n requests at once and returns their raw replies.
func (k *conn) exchange(frames []byte, n int) [][]byte {
	k.t.Helper()
	if err := k.c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.c.Write(frames); err != nil {
		k.t.Fatalf("write to %s: %v", k.name, err)
	}
	replies := make([][]byte, 0, n)
	var reply []byte
	for len(replies) < n {
		if len(k.buf) == 0 {
			room := make([]byte, 64<<10)
			got, err := k.c.Read(room)
			if err != nil {
				k.t.Fatalf("read from %s after %q: %v", k.name, frames, err)
			}
			k.buf = room[:got]
		}
		took, done, err := k.framer.Feed(k.buf)
		if err != nil {
			k.t.Fatalf("reply of %s: %v", k.name, err)
		}
		reply = append(reply, k.buf[:took]...)
		k.buf = k.buf[took:]
		if done {
			replies = append(replies, reply)
			reply = nil
		}
	}
	return replies
}

// raw sends one request and returns its raw reply.
func (k *conn) raw(words ...string) []byte {
	k.t.Helper()
	return k.exchange(resp.AppendCommand(nil, words...), 1)[0]
}

// parse sends one request and returns its reply, which may be an error.
func (k *conn) parse(words ...string) resp.Value {
	k.t.Helper()
	v, _, err := resp.Parse(k.raw(words...))
	if err != nil {
		k.t.Fatalf("%s: reply to %q: %v", k.name, words, err)
	}
	return v
}

// must is parse for a request that may not fail.
func (k *conn) must(words ...string) resp.Value {
	k.t.Helper()
	v := k.parse(words...)
	if v.IsError() {
		k.t.Fatalf("%s: %q: %s", k.name, words, v.Str)
	}
	return v
}

// newRand is a random source from a seed.
func newRand(seed int64) *rand.Rand { return rand.New(rand.NewSource(seed)) }

// pairOf finds two servers by name, or reports that this machine lacks one.
func pairOf(t *testing.T, a, b string) (primary, secondary redisdtest.Binary, ok bool) {
	t.Helper()
	found, ok := redisdtest.Find(t, a, b)
	if !ok {
		return primary, secondary, false
	}
	return found[0], found[1], true
}

// seedOf is the seed of a random test: ROUTER_SEED, or the clock's.
func seedOf(t *testing.T) int64 {
	t.Helper()
	seed := time.Now().UnixNano()
	if text := os.Getenv("ROUTER_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("ROUTER_SEED: %v", err)
		}
	}
	t.Logf("seed %d (ROUTER_SEED=%d repeats it)", seed, seed)
	return seed
}

// stepsOf is how many requests a random test runs: ROUTER_STEPS, or some that take a few seconds.
func stepsOf(t *testing.T) int {
	t.Helper()
	steps := 500
	if text := os.Getenv("ROUTER_STEPS"); text != "" {
		if _, err := fmt.Sscan(text, &steps); err != nil {
			t.Fatalf("ROUTER_STEPS: %v", err)
		}
	}
	return steps
}
