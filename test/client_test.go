package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/test/program"
	"tandem/test/wire"
)

func dial(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// synced is a small migration that has reached synced, for what clients do to it.
func synced(t *testing.T, settings ...string) *world {
	t.Helper()
	w := newWorld(t, worldOptions{keys: 1000, settings: settings})
	w.td.Step("start")
	w.td.WaitSynced()
	return w
}

// Ten thousand commands in one pipeline, nothing read before all is written: every reply comes, in order.
func TestDeepPipeline(t *testing.T) {
	w := synced(t)
	c := dial(t, w.td.Addr)
	const n = 10_000
	for i := range n {
		switch i % 4 {
		case 0:
			c.Send("INCR", "deep:n")
		case 1:
			c.Send("SET", "deep:"+strconv.Itoa(i), strconv.Itoa(i))
		case 2:
			c.Send("ECHO", strconv.Itoa(i)) // answered by the proxy itself, in its place
		default:
			c.Send("GET", "deep:"+strconv.Itoa(i-2))
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		reply, err := c.Receive()
		if err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
		want := [4]string{strconv.Itoa(i/4 + 1), "+OK", strconv.Quote(strconv.Itoa(i)), strconv.Quote(strconv.Itoa(i - 2))}[i%4]
		if reply.String() != want {
			t.Fatalf("reply %d is %s, want %s", i, reply, want)
		}
	}
	w.mustBeEqual()
}

func TestInlineCommands(t *testing.T) {
	w := synced(t)
	c := dial(t, w.td.Addr)
	c.SendRaw("PING\r\nset inline \"a b\\x41\\n\"\nGET inline\r\n\r\n\n  incr   inline:n  \r\nECHO 'it''s'\r\nECHO 'it\\'s'\r\n")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"+PONG", "+OK", `"a bA\n"`, "1"} {
		reply, err := c.Receive()
		if err != nil || reply.String() != want {
			t.Fatalf("reply %d is %s %v, want %s", i, reply, err, want)
		}
	}
	reply, err := c.Receive()
	if err != nil || !strings.HasPrefix(reply.String(), "-ERR Protocol error: unbalanced quotes") {
		t.Errorf("unbalanced quotes: %s %v", reply, err)
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after a protocol error: %v, want the end of the connection", err)
	}
	if got := do(t, w.source.Addr, "GET", "inline").Str; got != "a bA\n" {
		t.Errorf("the source has %q", got)
	}
}

// hugeBytes is the size of the one value that passes in both directions.
func hugeBytes() int {
	if program.Full {
		return 512 << 20
	}
	return 64 << 20
}

// A value of the greatest size that Redis takes goes through in both directions and reaches the target, and
// other clients hardly notice.
func TestHugeValueBothWays(t *testing.T) {
	w := synced(t)
	size := hugeBytes()
	value := make([]byte, size)
	r := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%032d", seed))))
	r.Read(value)
	c, other := dial(t, w.td.Addr), dial(t, w.td.Addr)
	c.Timeout = 3 * time.Minute

	// The others are measured while it travels.
	stop := make(chan struct{})
	var slowest time.Duration
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			at := time.Now()
			if _, err := other.Do("INCR", "beside"); err != nil {
				t.Errorf("another client: %v", err)
				return
			}
			slowest = max(slowest, time.Since(at))
		}
	})
	c.SendRaw(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n", size))
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Net().Write(value); err != nil {
		t.Fatal(err)
	}
	c.SendRaw("\r\n")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if reply, err := c.Receive(); err != nil || reply.String() != "+OK" {
		t.Fatalf("SET: %s %v", reply, err)
	}
	reply, err := c.Do("GET", "huge")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(reply.Str), value) {
		t.Errorf("GET answers %d bytes that are not those %d of SET", len(reply.Str), size)
	}
	close(stop)
	others.Wait()
	t.Logf("%d MB both ways; the longest wait of another client meanwhile %v", size>>20, slowest.Round(time.Millisecond))
	w.mustBeEqual()
	if got := do(t, w.target.Addr, "STRLEN", "huge").Int; got != int64(size) {
		t.Errorf("the target has %d bytes", got)
	}
	t.Logf("memory of the proxy: at most %d MB", w.td.Peak()>>20)
}

// Clients that stop in the middle of a command, or vanish without a word, hold up nobody and leave nothing.
func TestHalfOpenClients(t *testing.T) {
	w := synced(t)
	before := w.td.Status().Sessions
	var conns []*wire.Conn
	for i := range 200 {
		c := dial(t, w.td.Addr)
		switch i % 4 {
		case 0: // half a command
			c.SendRaw("*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$100\r\nabc")
		case 1: // half a line
			c.SendRaw("*1")
		case 2: // a transaction left open
			c.SendRaw("*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\nx\r\n")
		case 3: // a promise of very much
			c.SendRaw("*1000000\r\n$536870912\r\nx")
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	w.td.WaitStatus("all sessions seen", 10*time.Second, func(s program.Status) bool { return s.Sessions >= before+200 })
	at := time.Now()
	alive := dial(t, w.td.Addr)
	for range 1000 {
		if _, err := alive.Do("INCR", "alive"); err != nil {
			t.Fatal(err)
		}
	}
	alive.Close()
	t.Logf("1000 round trips beside 200 half-open clients: %v", time.Since(at).Round(time.Millisecond))
	for i, c := range conns {
		if i%2 == 0 {
			c.Net().(*net.TCPConn).SetLinger(0) // a reset instead of an end
		}
		c.Close()
	}
	w.td.WaitStatus("their sessions gone", 20*time.Second, func(s program.Status) bool { return s.Sessions <= before })
	if got := do(t, w.source.Addr, "EXISTS", "half").Int; got != 0 {
		t.Error("an unfinished command was executed")
	}
	w.checkMemory()
	w.mustBeEqual()
}

// A client that asks and does not read is closed, with the reason in the log, when too much waits for it, or
// when it takes nothing for too long. A single reply of any size is not too much.
func TestSlowReaderIsClosedWithAReason(t *testing.T) {
	for _, c := range []struct {
		reason  string
		replies int
		bytes   int
		setting string
	}{
		{"output_limit", 2000, 100 << 10, "  output_limit_bytes: 4194304"},
		{"write_timeout", 10, 8 << 20, "  write_timeout: 1s"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := synced(t, "clients:", c.setting)
			do(t, w.td.Addr, "SET", "one", strings.Repeat("x", 8<<20))
			if got := do(t, w.td.Addr, "GET", "one"); len(got.Str) != 8<<20 {
				t.Fatalf("one reply above the limit: %d bytes", len(got.Str))
			}
			do(t, w.td.Addr, "SET", "many", strings.Repeat("x", c.bytes))
			slow := dial(t, w.td.Addr)
			for range c.replies {
				slow.Send("GET", "many")
			}
			if err := slow.Flush(); err != nil {
				t.Fatal(err)
			}
			w.td.Until("the slow reader closed with its reason in the log", 20*time.Second, func() bool {
				return strings.Contains(w.td.Logged(), c.reason)
			})
			var err error
			for range c.replies {
				if _, err = slow.Receive(); err != nil {
					break
				}
			}
			if err == nil {
				t.Error("all replies came: the client was not closed")
			}
			if got := do(t, w.td.Addr, "PING"); got.Str != "PONG" {
				t.Errorf("another client: %s", got)
			}
			w.checkMemory()
		})
	}
}

func TestOneClientTooMany(t *testing.T) {
	w := synced(t, "clients:", "  max: 5")
	var conns []*wire.Conn
	w.td.Until("five clients at once", 20*time.Second, func() bool {
		for _, c := range conns {
			c.Close()
		}
		conns = nil
		for range 5 {
			c := dial(t, w.td.Addr)
			if _, err := c.Do("PING"); err != nil {
				return false
			}
			conns = append(conns, c)
		}
		return true
	})
	sixth := dial(t, w.td.Addr)
	reply, err := sixth.Receive()
	if err != nil || reply.String() != "-ERR max number of clients reached" {
		t.Errorf("the sixth client reads %s %v", reply, err)
	}
	if _, err := conns[0].Do("PING"); err != nil {
		t.Errorf("the first client: %v", err)
	}
	conns[1].Close()
	w.td.Until("a place that is free again", 10*time.Second, func() bool {
		_, err := dial(t, w.td.Addr).Do("PING")
		return err == nil
	})
}

// What is no Redis protocol gets the bytes that Redis answers, and the same end.
func TestProtocolErrorsAreRedisOwn(t *testing.T) {
	w := synced(t)
	// Most are followed by QUIT, so that the end comes also where nothing is wrong.
	quit := "\r\nQUIT\r\n"
	for _, in := range []string{
		"*1\r\n$abc\r\nPING" + quit,
		"*1\r\n$-5\r\nPING" + quit,
		"*1\r\n:4\r\nPING" + quit,
		"*abc" + quit,
		"*2147483648" + quit,
		"*99999999999999999999999" + quit,
		"*2\r\n$4\r\nECHO\r\n$536870913" + quit,
		"*1\r\n$9223372036854775807" + quit,
		"*1\r\nPING" + quit,
		"*-1\r\n*1\r\n$4\r\nPING" + quit,
		"*0\r\n*1\r\n$4\r\nPING" + quit,
		"\r\n\r\nPING" + quit,
		"PING\nPING" + quit,
		"ECHO \"unbalanced" + quit,
		"ECHO 'a'b" + quit,
		"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*1\r\n$x" + quit,
		"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$5\r\nproto\r\n$1\r\nv\r\n*1\r\n$-" + quit,
		// Lines without an end, of which Redis takes 64 KiB.
		strings.Repeat("x", 70_000),
		"*1" + strings.Repeat("1", 70_000),
		"*1\r\n$" + strings.Repeat("1", 70_000),
	} {
		want, got := untilEnd(t, w.source.Addr, in), untilEnd(t, w.td.Addr, in)
		if want != got {
			t.Errorf("after %q:\nthe server answers %q\nthe proxy  answers %q", in[:min(len(in), 60)], want, got)
		}
	}
}

// untilEnd sends bytes and reads until the other side closes.
func untilEnd(t *testing.T, addr, in string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, in); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	out, err := io.ReadAll(conn)
	// Bytes that the other side did not read before it closed make the end a reset.
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s after %q: %v, read %q", addr, in[:min(len(in), 60)], err, out)
	}
	return string(out)
}
