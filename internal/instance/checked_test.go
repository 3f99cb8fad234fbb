package instance

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/resp"
)

const helloReply = "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"

// What servers in disorder send instead of one reply. Without the check in between most of these end the process,
// or make room for what was announced.
var disorder = map[string]string{
	"a bulk below zero":           "$-7\r\n",
	"a bulk of an exbibyte":       "$1152921504606846976\r\n",
	"a bulk of a tebibyte":        "$1099511627776\r\n",
	"an array below zero":         "*-7\r\n",
	"an array near 2^63":          "*9223372036854775807\r\n",
	"a map whose double is wrong": "%4611686018427387904\r\n",
	"a map without length":        "%-1\r\n",
	"arrays within arrays":        strings.Repeat("*1\r\n", 100000),
	"arrays of a million each":    strings.Repeat("*1000000\r\n", 100),
	"a line without end":          "+" + strings.Repeat("x", 8<<20),
	"an error without end":        "-" + strings.Repeat("x", 8<<20),
	"a string without length":     "$?\r\n;1099511627776\r\n",
	"an array without length":     "*?\r\n" + strings.Repeat(":1\r\n", 100),
	"an unknown type":             "@1\r\n",
	"a page of the web":           "HTTP/1.1 400 Bad Request\r\n\r\n",
	"two replies to one command":  "+a\r\n+b\r\n",
	"a push that nobody asked":    ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+a\r\n",
	"an unsubscription":           ">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n+a\r\n",
	"a push in an array":          "*1\r\n>1\r\n+x\r\n",
	"more than a null":            "_XX*9223372036854775807\r\n\r\n",
	"more than a boolean":         "#t\n\r$-9\r\n\r\n",
	"the end of nothing":          ".\r\n",
	"an attribute of nothing":     "|1\r\n+a\r\n+b\r\n.\r\n",
}

func TestClientOfAServerInDisorder(t *testing.T) {
	for name, reply := range disorder {
		t.Run(name, func(t *testing.T) {
			mended := false
			i := fakeServer(t, func(_ int, args []string) string {
				switch {
				case args[0] == "HELLO":
					return helloReply
				case args[0] != "GET" || mended:
					return "+OK\r\n"
				}
				mended = true
				return reply
			})
			client, err := i.Client(t.Context(), "tandem:00:x:1", ClientOptions{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			get := func() error { return client.Do(t.Context(), client.B().Get().Key("k").Build()).Error() }
			err = get()
			if name != "two replies to one command" && err == nil {
				t.Error("taken for a reply")
			}
			if err != nil && !errors.Is(err, ErrNotRedis) {
				t.Errorf("%v", err)
			}
			eventually(t, "another connection serves", func() bool { return get() == nil })
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
				t.Errorf("%d MiB allocated", used>>20)
			}
		})
	}
}

// A server that is slow with very many elements costs as much as one that is not.
func TestControlConnectionTakesRepliesOfAnySpeed(t *testing.T) {
	const n = 40_000
	i := listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			args, err := readCommand(r)
			if err != nil {
				return
			}
			if args[0] != "GET" {
				_, _ = c.Write([]byte("+OK\r\n"))
				continue
			}
			_, _ = c.Write([]byte("*" + strconv.Itoa(n) + "\r\n"))
			for range n {
				if _, err := c.Write([]byte(":1\r\n")); err != nil {
					return
				}
			}
		}
	})
	c, err := i.Conn(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.Do(t.Context(), "GET", "k")
	if err != nil || len(v.Elems) != n {
		t.Fatalf("%d elements, %v", len(v.Elems), err)
	}
}

func TestControlConnectionRefusesDisorder(t *testing.T) {
	for name, reply := range disorder {
		if name == "two replies to one command" {
			continue // the second one is seen by the next command only
		}
		t.Run(name, func(t *testing.T) {
			i := fakeServer(t, func(_ int, args []string) string {
				if args[0] == "GET" {
					return reply
				}
				return "+OK\r\n"
			})
			c, err := i.Conn(t.Context(), "x", 0)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if v, err := c.Do(t.Context(), "GET", "k"); !errors.Is(err, ErrNotRedis) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
}

// FuzzClientReplies lets a server say anything, to its greeting or to the first command. The oracle is the process:
// rueidis panics in a goroutine of its own.
func FuzzClientReplies(f *testing.F) {
	for _, reply := range disorder {
		if len(reply) < 4096 {
			f.Add(false, []byte(reply))
			f.Add(true, []byte(reply))
		}
	}
	f.Add(false, []byte("$3\r\nabc\r\n"))
	f.Add(true, []byte(helloReply))
	f.Add(true, []byte("*4\r\n+proto\r\n:2\r\n+version\r\n"))
	f.Add(false, []byte("=4\r\ntxt:\r\n"))
	f.Add(false, []byte("=1\r\nt\r\n"))
	i, err := New(Source, "redis://127.0.0.1:1", Options{MaxReplyBytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, greeting bool, stream []byte) {
		ours, theirs := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			defer theirs.Close()
			r := bufio.NewReader(theirs)
			for {
				args, err := readCommand(r)
				switch {
				case err != nil:
					return
				case args[0] == "HELLO" && !greeting:
					if _, err := theirs.Write([]byte(helloReply)); err != nil {
						return
					}
				default:
					_, _ = theirs.Write(stream)
					return
				}
			}
		}()
		dialled := false
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{i.Addr},
			DialCtxFn: func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
				if dialled {
					return nil, errors.New("once")
				}
				dialled = true
				return i.checked(ours), nil
			},
			ForceSingleClient: true, DisableCache: true, DisableRetry: true, PipelineMultiplex: -1, BlockingPipeline: -1,
			ConnWriteTimeout: time.Second, ReadBufferEachConn: 1 << 10, WriteBufferEachConn: 1 << 10,
			ClientSetInfo: rueidis.DisableClientSetInfo,
		})
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			for _, r := range client.DoMulti(ctx, client.B().Get().Key("k").Build(), client.B().Get().Key("l").Build()) {
				_, _ = r.ToAny()
				_, _ = r.AsStrSlice()
				_, _ = r.ToInt64()
				_, _ = r.AsScanEntry()
				_, _ = r.AsXRange()
			}
			cancel()
		}
		if client != nil {
			client.Close()
		}
		_ = ours.Close()
		<-served
	})
}

// FuzzReply: the verdict on a reply does not depend on how it was cut, and Parse agrees with it.
func FuzzReply(f *testing.F) {
	for _, reply := range disorder {
		if len(reply) < 4096 {
			f.Add([]byte(reply), byte(3))
		}
	}
	f.Add([]byte(helloReply), byte(1))
	f.Fuzz(func(t *testing.T, stream []byte, piece byte) {
		whole, wholeErr := (&reader{conn: &pieces{stream: stream, most: len(stream)}}).next()
		cut, cutErr := (&reader{conn: &pieces{stream: stream, most: 1 + int(piece)}}).next()
		if (wholeErr == nil) != (cutErr == nil) || whole.Kind != cut.Kind || string(whole.Str) != string(cut.Str) || len(whole.Elems) != len(cut.Elems) {
			t.Fatalf("whole %v, %v; in pieces %v, %v", whole, wholeErr, cut, cutErr)
		}
		if v, _, err := resp.Parse(stream); wholeErr == nil && (err != nil || v.Kind != whole.Kind) {
			t.Fatalf("%q: %v", stream, err)
		}
	})
}

// pieces is a connection on which a stream comes in pieces, and then ends.
type pieces struct {
	net.Conn // nil: nothing else is done with it

	stream []byte
	most   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.stream) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b[:min(len(b), max(1, p.most))], p.stream)
	p.stream = p.stream[n:]
	return n, nil
}
