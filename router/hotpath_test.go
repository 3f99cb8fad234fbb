package router

import (
	"fmt"
	"testing"
)

// hot are the commands of which the path must not allocate, with what they are answered.
var hot = []struct{ request, reply string }{
	{"GET key:000000000123", "$5\r\nhello\r\n"},
	{"SET key:000000000123 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK\r\n"},
	{"INCR counter", ":42\r\n"},
	{"LPUSH list a", ":7\r\n"},
	{"HSET hash field value", ":1\r\n"},
	{"SADD set member", ":1\r\n"},
	{"ZADD zset 1.5 member", ":0\r\n"},
	{"LPOP list", "$1\r\na\r\n"},
	{"DEL key", ":1\r\n"},
	{"MSET a 1 b 2 c 3", "+OK\r\n"},
	{"SET key value EX 10", "+OK\r\n"},
	{"EXPIRE key 100", ":1\r\n"},
	{"SPOP set", "$6\r\nmember\r\n"},
	{"INCRBYFLOAT n 1.5", "$4\r\n10.5\r\n"},
	{"ZINCRBY zset 1.5 member", "$3\r\n3.5\r\n"},
	{"XADD stream * field value", "$15\r\n1700000000000-0\r\n"},
}

// TestHotPathDoesNotAllocate asserts it for the whole way of a command through this package.
func TestHotPathDoesNotAllocate(t *testing.T) {
	env := &Env{DBs: 16, Now: 1700000000000, Primary: Server{Version: 70015}, Secondary: Server{Version: 70015}}
	follow := [][]byte{[]byte(":1700000010000\r\n")}
	deny, err := NewDeny(DefaultDeny)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hot {
		args := request(fields(h.request)...)
		reply := []byte(h.reply)
		keys := make([]Key, 0, 8)
		frames := make([]byte, 0, 256)
		var e Effect
		run := func() {
			cmd := Lookup(args)
			keys, _ = cmd.AppendKeys(keys[:0], args)
			frames, _ = cmd.FollowUps(frames[:0], args, env.Primary)
			if cmd.Refuse(args) != "" || deny.Denies(cmd) || cmd.Blocks(args) || cmd.IsScript() || !cmd.IsWrite(args) {
				return
			}
			e.Reset()
			cmd.Effect(&e, env, args, reply, follow)
			for _, x := range e.Expects {
				x.Match(reply)
			}
		}
		run() // the buffers grow once
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", h.request, n)
		}
	}
}

// benchmarkName is made of a command and how many arguments it has.
func benchmarkName(args [][]byte) string {
	return fmt.Sprintf("command=%s/args=%d", args[0], len(args)-1)
}

func fields(s string) (words []string) {
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != ' ' {
			i++
		}
		words = append(words, s[:i])
		s = s[min(i+1, len(s)):]
	}
	return words
}

// BenchmarkLookup finds a command in the table.
func BenchmarkLookup(b *testing.B) {
	for _, text := range []string{"GET k", "set k v", "ZREMRANGEBYSCORE z 1 2", "XGROUP CREATECONSUMER s g c", "NOSUCH k"} {
		args := request(fields(text)...)
		b.Run("command="+string(args[0]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Lookup(args)
			}
		})
	}
}

// BenchmarkDeny asks whether it is denied.
func BenchmarkDeny(b *testing.B) {
	deny, err := NewDeny(DefaultDeny)
	if err != nil {
		b.Fatal(err)
	}
	cmd := byName("GET")
	b.ReportAllocs()
	for b.Loop() {
		if deny.Denies(cmd) {
			b.Fatal("GET is denied")
		}
	}
}

// BenchmarkKeys finds the keys of a command.
func BenchmarkKeys(b *testing.B) {
	for _, text := range []string{"GET k", "SET k v", "MSET a 1 b 2 c 3", "ZUNIONSTORE d 2 a b"} {
		args := request(fields(text)...)
		cmd := Lookup(args)
		b.Run("command="+string(args[0]), func(b *testing.B) {
			b.ReportAllocs()
			keys := make([]Key, 0, 8)
			for b.Loop() {
				keys, _ = cmd.AppendKeys(keys[:0], args)
			}
		})
	}
}

// BenchmarkEffect makes the effect of a write from its reply.
func BenchmarkEffect(b *testing.B) {
	env := &Env{DBs: 16, Now: 1700000000000, Primary: Server{Version: 70015}, Secondary: Server{Version: 70015}}
	follow := [][]byte{[]byte(":1700000010000\r\n")}
	for _, h := range hot[1:] { // the first is a read
		args := request(fields(h.request)...)
		cmd, reply := Lookup(args), []byte(h.reply)
		b.Run(benchmarkName(args), func(b *testing.B) {
			b.ReportAllocs()
			var e Effect
			for b.Loop() {
				e.Reset()
				cmd.Effect(&e, env, args, reply, follow)
			}
		})
	}
}
