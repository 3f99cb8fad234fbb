package proxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// stream is what a client may send, in whatever pieces, and how many replies it gets.
type stream struct {
	bytes   []byte
	replies int
}

// add appends a command, sometimes as an inline one.
func (s *stream) add(rnd *rand.Rand, args ...string) {
	s.replies++
	plain, size := true, 0
	for _, a := range args {
		size += len(a)
		plain = plain && size < 1000 && a != "" && !strings.ContainsAny(a, " \"'\r\n\\\x00")
	}
	switch {
	case plain && rnd.IntN(8) == 0:
		s.bytes = append(s.bytes, strings.Join(args, " ")+"\r\n"...)
	case rnd.IntN(20) == 0:
		s.bytes = append(s.bytes, "*0\r\n"...) // nothing answers it
		fallthrough
	default:
		s.bytes = resp.AppendCommand(s.bytes, args...)
	}
}

// randomStream is a client's conversation: commands of all kinds, right and wrong, in transactions and out.
func randomStream(rnd *rand.Rand) *stream {
	s := &stream{}
	key := func() string { return fmt.Sprint("k", rnd.IntN(6)) }
	value := func() string {
		return []string{"", "1", "x y", "\r\n$5\r\n", strings.Repeat("v", rnd.IntN(50000)), "-ERR", "\x00"}[rnd.IntN(7)]
	}
	command := func() {
		choices := [][]string{
			{"GET", key()}, {"SET", key(), value()}, {"APPEND", key(), value()}, {"INCR", key()}, {"DEL", key(), key()},
			{"GETSET", key(), value()}, {"MGET", key(), key(), key()}, {"LPUSH", key(), value(), value()}, {"LRANGE", key(), "0", "-1"},
			{"RPOP", key()}, {"LPOP", key(), "2"}, {"HSET", key(), "f", value()}, {"HGETALL", key()}, {"SADD", key(), "a"}, {"SMEMBERS", key()},
			{"ZADD", key(), "1", "a"}, {"ZRANGE", key(), "0", "-1", "WITHSCORES"}, {"TYPE", key()}, {"TTL", key()}, {"EXPIRE", key(), "1000"},
			{"PERSIST", key()}, {"EXISTS", key()}, {"RENAME", key(), key()}, {"STRLEN", key()}, {"GETRANGE", key(), "0", "10"},
			{"SET", key()}, {"get"}, {"SET", key(), value(), "EX", "abc"}, {"SET", key(), value(), "PX", "100000"}, {"INCRBY", key(), "x"},
			{"ZUNIONSTORE", "d", "5", key()}, {"OBJECT", "ENCODING", "nosuch"}, {"DBSIZE"}, {"PING"}, {"PING", value()}, {"PING", "a", "b"},
			{"ECHO", value()}, {"ECHO"}, {"SELECT", "1"}, {"SELECT", "0"}, {"SELECT", "99"}, {"SELECT", "x"}, {"CLIENT", "SETNAME", "me"},
			{"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", "a b"}, {"FLUSHDB"}, {"COPY", key(), key()}, {"SETRANGE", key(), "5", "abc"},
			{"EXEC"}, {"DISCARD"}, {"EXEC", "x"}, {"DISCARD", "x"}, {"MULTI", "x"},
		}
		s.add(rnd, choices[rnd.IntN(len(choices))]...)
	}
	inside := func() {
		choices := [][]string{
			{"GET", key()}, {"SET", key(), value()}, {"INCR", key()}, {"LPUSH", key(), value()}, {"LRANGE", key(), "0", "-1"}, {"PING"},
			{"SET", key(), value(), "EX", "100"}, {"DEL", key()}, {"MULTI"}, {"ECHO", value()}, {"HSET", key(), "f", "v"}, {"FLUSHDB"},
			{"GETDEL", key()}, {"EXPIRE", key(), "100"}, {"RPOP", key()},
		}
		if rnd.IntN(30) == 0 {
			choices = [][]string{{"SET", key()}, {"INCRBY", key()}, {"DISCARD", "x"}}
		}
		s.add(rnd, choices[rnd.IntN(len(choices))]...)
	}
	for range 1 + rnd.IntN(40) {
		if rnd.IntN(6) > 0 {
			command()
			continue
		}
		s.add(rnd, "MULTI")
		for range rnd.IntN(8) {
			inside()
		}
		s.add(rnd, []string{"EXEC", "EXEC", "EXEC", "DISCARD", "exec"}[rnd.IntN(5)])
	}
	return s
}

// converse sends a stream in random pieces and returns all replies.
func converse(w *wire, s *stream, rnd *rand.Rand) []byte {
	w.t.Helper()
	sent := make(chan error, 1)
	go func() {
		for b := s.bytes; len(b) > 0; {
			n := min(len(b), 1+rnd.IntN(1+rnd.IntN(20000)))
			if _, err := w.Write(b[:n]); err != nil {
				sent <- err
				return
			}
			b = b[n:]
		}
		sent <- nil
	}()
	var all []byte
	for range s.replies {
		all = append(all, w.raw()...)
	}
	if err := <-sent; err != nil {
		w.t.Fatal(err)
	}
	return all
}

// A client cannot tell the proxy from the server by any reply, its form or its place.
func TestRepliesAreTheServersOwn(t *testing.T) {
	for _, replicate := range []bool{false, true} {
		t.Run(fmt.Sprint("replicate=", replicate), func(t *testing.T) {
			h := newHouse(t, replicate, func(o *Options, _ *ServerOptions) { o.MaxLagBytes = 64 << 20 })
			alone := redisdtest.Start(t, redisd.Options{})
			seed := uint64(time.Now().UnixNano())
			rnd := rand.New(rand.NewPCG(seed, 1))
			for round := range 150 {
				s := randomStream(rnd)
				a, b := dial(t, alone.Addr), h.client()
				want := converse(a, s, rand.New(rand.NewPCG(seed, uint64(round))))
				got := converse(b, s, rand.New(rand.NewPCG(seed, uint64(round))))
				if !bytes.Equal(got, want) {
					at := 0
					for at < min(len(got), len(want)) && got[at] == want[at] {
						at++
					}
					from := max(0, at-100)
					t.Fatalf("seed %d, round %d, at byte %d of %d: %q, want %q", seed, round, at, len(want),
						got[from:min(len(got), at+100)], want[from:min(len(want), at+100)])
				}
				for _, w := range []*wire{a, b} {
					w.send("QUIT\r\n")
					if rest, err := io.ReadAll(w.r); err != nil || string(rest) != "+OK\r\n" {
						t.Fatalf("seed %d, round %d: %q %v behind the last reply", seed, round, rest, err)
					}
				}
			}
			if replicate {
				h.converged()
				h.same()
			}
		})
	}
}
