package router

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/resp"
)

// hostileReplies are what no server answers to what it was asked.
var hostileReplies = []string{
	"+OK\r\n", ":1\r\n", ":-9223372036854775808\r\n", ":99999999999999999999\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "*0\r\n",
	"*2147483647\r\n", "%1000000000\r\n", "*2\r\n:1\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n$1\r\nx\r\n", "$5\r\nab\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
	"*3\r\n$-1\r\n_\r\n*-1\r\n", "%1\r\n$1\r\na\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", "~2\r\n:1\r\n:1\r\n", ",nan\r\n", ",inf\r\n",
	"(99999999999999999999999\r\n", "#t\r\n", "=7\r\ntxt:abc\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n", "*1\r\n$18\r\n99999999999999999-\r\n",
	"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$4\r\n-inf\r\n", "-ERR no\r\n", "\r\n", "x", "*1", "$1\r\n",
}

// FuzzCommand makes everything that the proxy makes of a request and its reply. Arguments stand in words, one per line.
// The oracle: nothing panics; places are places of the request; what is made is whole commands, as many as it says; and
// it is not much more than there was.
func FuzzCommand(f *testing.F) {
	r := &sampler{Rand: newRand(1), dumps: []string{"x"}}
	for i, sample := range samples {
		args := r.request(sample)
		f.Add(bytes.Join(args, []byte("\n")), []byte(hostileReplies[i%len(hostileReplies)]), []byte(":1\r\n"), byte(i))
	}
	for _, c := range All() {
		f.Add([]byte(strings.ReplaceAll(c.Name, " ", "\n")), []byte(":1\r\n"), []byte("*0\r\n"), byte(0))
		words := strings.Split(c.Name, " ")
		for _, n := range []string{"-1", "0", "1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e400", "nan"} {
			for len(words) < 8 {
				words = append(words, n)
			}
			f.Add([]byte(strings.Join(words, "\n")), []byte("*1\r\n:1\r\n"), []byte("$-1\r\n"), byte(1))
			words = words[:len(strings.Split(c.Name, " "))]
		}
	}
	versions := []Server{{}, mustServer(f, "redis_version:6.0.16\r\n"), mustServer(f, "redis_version:7.0.15\r\n"),
		mustServer(f, "redis_version:8.0.0\r\n"), mustServer(f, "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0\r\n")}
	f.Fuzz(func(t *testing.T, words, reply, followed []byte, pick byte) {
		args := bytes.Split(words, []byte("\n"))
		if len(args[0]) == 0 || !isReply(reply) || !isReply(followed) {
			return
		}
		env := &Env{DB: int(pick % 3), DBs: 16, Now: 1_700_000_000_000, Shift: int64(pick) - 128,
			Primary: versions[int(pick)%len(versions)], Secondary: versions[int(pick/8)%len(versions)]}
		c := Lookup(args)
		if c == nil {
			c = Unknown(string(args[0]))
		}
		began := time.Now()
		checkCommand(t, c, env, args, reply, followed)
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("%s with %d bytes took %v", c.Name, len(words), took)
		}
	})
}

// isReply reports whether b is one whole reply, as the lane hands it over: of the right form, whatever it says.
func isReply(b []byte) bool {
	var framer resp.Framer
	n, done, err := framer.Feed(b)
	return done && err == nil && n == len(b) && framer.Kind() != '>'
}

func checkCommand(t *testing.T, c *Command, env *Env, args [][]byte, reply, followed []byte) {
	size := len(reply) + len(followed)
	for _, arg := range args {
		size += len(arg) + 16
	}
	bound := 64<<10 + 64*size
	commands := func(what string, frames []byte, n int) {
		if len(frames) > bound {
			t.Fatalf("%s %s: %d bytes made of %d", c.Name, what, len(frames), size)
		}
		var framer resp.Framer
		rest := frames
		for range n {
			m, done, err := framer.Feed(rest)
			if !done || err != nil || len(resp.Args(rest[:m], nil)) == 0 {
				t.Fatalf("%s %s: %q is not %d commands: %v", c.Name, what, frames, n, err)
			}
			rest = rest[m:]
		}
		if len(rest) > 0 {
			t.Fatalf("%s %s: more than %d commands in %q", c.Name, what, n, frames)
		}
	}

	keys, ok := c.AppendKeys(nil, args)
	for _, k := range keys {
		if k.Arg < 1 || k.Arg >= len(args) || k.DB < -1 {
			t.Fatalf("%s: key %+v of %d arguments", c.Name, k, len(args))
		}
	}
	writes := c.IsWrite(args)
	c.Refuse(args)
	c.MayHaveRun(args, reply)
	c.FlushedDBs(env)
	if a, b, ok := c.SwapDBs(args); ok && (a < 0 || b < 0) {
		t.Fatalf("%s: databases %d and %d", c.Name, a, b)
	}
	follows, n := c.FollowUps(nil, args, env.Primary)
	commands("follow-ups", follows, n)
	if c.Blocks(args) {
		if d, forever, ok := c.Timeout(args); ok && (d < 0 || forever && d != 0) {
			t.Fatalf("%s: blocks for %v, %v", c.Name, d, forever)
		}
		commands("with a timeout", c.WithTimeout(nil, args, 1500*time.Millisecond), 1)
		for _, id := range c.Streams(args) {
			if id.Key >= len(args) || id.ID >= len(args) {
				t.Fatalf("%s: %+v of %d arguments", c.Name, id, len(args))
			}
		}
		if frame, tried, reshape, ok := c.Try(nil, args, env.Primary); ok {
			commands("tried", frame, 1)
			if len(reply) > 0 {
				if shaped, _ := reshape(nil, slices.Clone(reply)); len(shaped) > bound {
					t.Fatalf("%s: %d bytes shaped of %d", c.Name, len(shaped), size)
				}
			}
			checkEffect(t, tried, env, resp.Args(frame, nil), reply, followed, commands)
		}
	}
	if writes && ok {
		checkEffect(t, c, env, args, reply, followed, commands)
	}
	_, _ = ReadLastID(reply)
	_, _ = ReadLastEntry(reply)
}

func checkEffect(t *testing.T, c *Command, env *Env, args [][]byte, reply, followed []byte, commands func(string, []byte, int)) {
	keys, _ := c.AppendKeys(nil, args)
	_, n := c.FollowUps(nil, args, env.Primary)
	follow := make([][]byte, n)
	for i := range follow {
		follow[i] = followed
	}
	for _, f := range [][][]byte{nil, follow} {
		if n == 0 && f == nil {
			continue
		}
		var e Effect
		c.Effect(&e, env, args, reply, f)
		for _, k := range e.Keys {
			if k < 0 || k >= len(keys) {
				t.Fatalf("%s: effect on key %d of %d", c.Name, k, len(keys))
			}
		}
		switch e.Kind {
		case Rewritten:
			commands("effect", e.Frames, e.N)
			if len(e.Expects) != e.N || e.N == 0 {
				t.Fatalf("%s: %d answers expected to %d commands", c.Name, len(e.Expects), e.N)
			}
		case Verbatim:
			if len(e.Expects) != 1 {
				t.Fatalf("%s: %d answers expected to itself", c.Name, len(e.Expects))
			}
		}
		for _, x := range e.Expects {
			x.Match(reply)
		}
	}
}

// FuzzLearn: what a server tells of a command may be anything. A learned command finds places of the request only.
func FuzzLearn(f *testing.F) {
	f.Add([]byte("*6\r\n$3\r\nfoo\r\n:-2\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n"), []byte("foo\na\nb"), []byte(":1\r\n"))
	f.Add([]byte("*6\r\n$3\r\nfoo\r\n:-9223372036854775808\r\n*2\r\n+write\r\n+movablekeys\r\n:9223372036854775807\r\n:-9223372036854775808\r\n:0\r\n"), []byte("foo\na\nb"), []byte(":1\r\n"))
	f.Add([]byte("*6\r\n$3\r\nfoo\r\n:2\r\n*1\r\n+write\r\n:1\r\n:-1\r\n:-1\r\n"), []byte("foo\na\nb"), []byte("+OK\r\n"))
	f.Add([]byte("*10\r\n$3\r\nfoo\r\n:-2\r\n*2\r\n+write\r\n+blocking\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*1\r\n*6\r\n+flags\r\n*1\r\n+RW\r\n+begin_search\r\n"+
		"*4\r\n+type\r\n+keyword\r\n+spec\r\n*4\r\n+keyword\r\n+KEYS\r\n+startfrom\r\n:-9\r\n+find_keys\r\n*4\r\n+type\r\n+keynum\r\n+spec\r\n*6\r\n"+
		"+keynumidx\r\n:-1\r\n+firstkey\r\n:1\r\n+keystep\r\n:0\r\n*0\r\n"), []byte("foo\nKEYS\n9999999999\na"), []byte("-ERR\r\n"))
	f.Add([]byte("*-1\r\n"), []byte("foo"), []byte(""))
	f.Fuzz(func(t *testing.T, info, words, reply []byte) {
		c, err := Learn(info)
		args := bytes.Split(words, []byte("\n"))
		if err != nil || len(args[0]) == 0 || !isReply(reply) {
			return
		}
		env := &Env{DBs: 16}
		checkCommand(t, c.Resolve(args), env, args, reply, reply)
		checkCommand(t, c, env, args, reply, reply)
	})
}

// FuzzParseServer: INFO is text of a server, too.
func FuzzParseServer(f *testing.F) {
	f.Add("redis_version:7.0.15\r\n")
	f.Add("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n")
	f.Add("redis_version:99999999999999999999.9.9\r\n")
	f.Add("redis_version:-1.-1.-1\r\n")
	f.Fuzz(func(t *testing.T, info string) {
		s, err := ParseServer(info)
		if err == nil && (s.Version < 0 || s.String() == "") {
			t.Fatalf("%q is %+v", info, s)
		}
	})
}

func mustServer(f *testing.F, info string) Server {
	s, err := ParseServer(info)
	if err != nil {
		f.Fatal(err)
	}
	return s
}
