package proxy

import (
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/resp"
)

// pipeline is one client that sends the same commands again and again, and allocates nothing itself.
type pipeline struct {
	testing.TB
	conn     net.Conn
	commands []byte // of one round
	want     []byte // what they are answered
	got      []byte
}

// newPipeline is a client that sends one command so often at once, of keys of their own with values of so many bytes. It
// is one that has the same answer every time.
func (h *house) newPipeline(command string, depth, bytes int) *pipeline {
	c := h.client()
	_ = c.SetDeadline(time.Time{})
	p := &pipeline{TB: h.t, conn: c.Conn}
	value := strings.Repeat("x", bytes)
	for i := range depth {
		words := []string{command, fmt.Sprintf("%s:%012d", command, i)}
		answer := "+OK\r\n"
		switch command {
		case "GET":
			c.expect("SET "+words[1]+" "+value, "+OK")
			answer = fmt.Sprintf("$%d\r\n%s\r\n", bytes, value)
		case "SET":
			words = append(words, value)
		case "MSET":
			for key := range 10 {
				words = append(words, value, fmt.Sprintf("%s:%012d:%d", command, i, key))
			}
			words = append(words, value)
		case "HSET":
			c.do("HSET " + words[1] + " field " + value)
			words, answer = append(words, "field", value), ":0\r\n"
		}
		p.commands = resp.AppendCommand(p.commands, words...)
		p.want = append(p.want, answer...)
	}
	p.got = make([]byte, len(p.want))
	return p
}

// round sends the commands and reads the answers.
func (p *pipeline) round() {
	if _, err := p.conn.Write(p.commands); err != nil {
		p.Fatal(err)
	}
	if _, err := io.ReadFull(p.conn, p.got); err != nil {
		p.Fatal(err)
	}
}

// checked is round, and a look at what came.
func (p *pipeline) checked() {
	if p.round(); string(p.got) != string(p.want) {
		p.Fatalf("%.60q was answered with %.60q", p.commands, p.got)
	}
}

// allocations is how often the process allocates in so many rounds.
func (p *pipeline) allocations(rounds int) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		p.round()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// newHotHouse is a house with room for everything that one client may have on the way.
func newHotHouse(t testing.TB, replicate bool) *house {
	return newHouse(t, replicate, func(o *Options, _ *ServerOptions) { o.MaxLagBytes = 64 << 20 })
}

// modes are the states of the proxy that every command is measured in: before a migration, and with both servers equal.
var modes = []struct {
	name      string
	replicate bool
}{{"passthrough", false}, {"synced", true}}

// TestHotPathAllocatesNothing sends commands through a whole proxy between real servers, and counts what this process
// allocates meanwhile, whoever does: session, lane, ledger, effect lane. (Values from handover on keep the memory that they
// were read into, and so are none of it. Nor is what has to wait for a secondary that lags by more than maxFreeChunks: all
// that is written here is little more.)
func TestHotPathAllocatesNothing(t *testing.T) {
	most := 0.01
	if raced {
		most = 0.5 // one for each command is still seen
	}
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			h := newHotHouse(t, mode.replicate)
			for _, x := range []struct {
				command      string
				depth, bytes int
			}{{"GET", 1, 64}, {"SET", 1, 64}, {"GET", 64, 64}, {"SET", 64, 64}, {"GET", 16, 16 << 10}, {"SET", 4, 512}, {"HSET", 16, 64}, {"MSET", 4, 8}} {
				p := h.newPipeline(x.command, x.depth, x.bytes)
				for range 200 {
					p.round() // buffers grow, and what is reused comes about
				}
				p.checked()
				h.settled()
				was := h.forwarded()
				rounds := max(100, 2000/x.depth)
				commands, least := 0, math.Inf(1)
				// What else the process does now and then is counted too, but not each time.
				for try := 0; try < 10 && least > most; try++ {
					commands += rounds * x.depth
					least = min(least, p.allocations(rounds)/float64(rounds*x.depth))
				}
				if least > most {
					t.Errorf("%s of %d bytes, %d at once: %.3f allocations for each command", x.command, x.bytes, x.depth, least)
				}
				h.settled()
				if made := int(h.forwarded() - was); x.command != "GET" && mode.replicate && made != commands {
					t.Errorf("%s of %d bytes, %d at once: %d of %d were measured with their effect", x.command, x.bytes, x.depth, made, commands)
				}
			}
		})
	}
}

// forwarded is how many effects were handed to the secondary's lane.
func (h *house) forwarded() (n uint64) {
	h.shard.lock()
	defer h.shard.unlock()
	return h.shard.ledger.Stats().Forwarded
}

// BenchmarkSession is the whole way of a command, from a client's socket to its answer, between real servers. The time is of
// one command, and of everybody on the machine; cpu-ns/op is what this process has used for it, client included.
func BenchmarkSession(b *testing.B) {
	for _, mode := range modes {
		h := newHotHouse(b, mode.replicate)
		for _, command := range []string{"GET", "SET"} {
			for _, bytes := range []int{64, 1 << 10, 16 << 10} {
				for _, depth := range []int{1, 16, 64} {
					b.Run(fmt.Sprintf("mode=%s/command=%s/bytes=%d/pipeline=%d", mode.name, command, bytes, depth), func(b *testing.B) {
						p := h.newPipeline(command, depth, bytes)
						p.TB = b
						p.checked()
						b.ReportAllocs()
						began := processorTime(b)
						for b.Loop() {
							p.round()
						}
						perCommand := float64(b.N * depth)
						b.ReportMetric(float64(processorTime(b)-began)/perCommand, "cpu-ns/command")
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/perCommand, "ns/command")
					})
				}
			}
		}
	}
}

// BenchmarkOutbox is a lane's way out: commands are appended, taken, written to a socket that somebody reads, and released.
func BenchmarkOutbox(b *testing.B) {
	for _, bytes := range []int{64, 1 << 10, 16 << 10} {
		for _, depth := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("bytes=%d/pipeline=%d", bytes, depth), func(b *testing.B) {
				conn := drained(b)
				raw := resp.AppendCommand(nil, "SET", "key:000000000001", strings.Repeat("x", bytes))
				chunks := make([]*chunk, depth)
				var o outbox
				var w writing
				b.ReportAllocs()
				for b.Loop() {
					for i := range chunks {
						_, chunks[i] = o.append(raw, false, true)
					}
					o.take(&w)
					if err := w.to(nil, conn); err != nil {
						b.Fatal(err)
					}
					w.done(&o)
					for _, c := range chunks {
						o.release(c)
					}
				}
				b.SetBytes(int64(depth * len(raw)))
			})
		}
	}
}

// drained is a connection over loopback whose other end is read by somebody who looks at nothing.
func drained(b *testing.B) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c})
		_ = c.Close()
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		_ = l.Close()
		<-done
	})
	return conn
}

// BenchmarkLatencies is the counting of one answer.
func BenchmarkLatencies(b *testing.B) {
	var l Latencies
	ns := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		ns = (ns + 7919) & (1<<24 - 1)
		l.add(ns)
	}
}

// processorTime is what this process has used, in ns: on a shared machine the clock on the wall tells little.
func processorTime(t testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
