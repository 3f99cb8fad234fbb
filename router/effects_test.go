package router

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
)

// effectText prints an effect in one line: its kind, flags and commands.
func effectText(e *Effect, args [][]byte) string {
	var b strings.Builder
	b.WriteString([]string{"none", "verbatim", "rewritten", "copy"}[e.Kind])
	if e.Blind {
		b.WriteString(" blind")
	}
	if e.MayExpire {
		b.WriteString(" expires")
	}
	if len(e.Keys) > 0 {
		fmt.Fprintf(&b, " keys%v", e.Keys)
	}
	for rest := e.Frames; len(rest) > 0; {
		v, n, err := resp.Parse(rest)
		if err != nil {
			return err.Error()
		}
		b.WriteString(" |")
		for _, w := range v.Elems {
			b.WriteString(" " + string(w.Str))
		}
		rest = rest[n:]
	}
	return b.String()
}

// TestEffect covers what no server that is here can show: clock correction, older and later versions, replies
// that make no sense, and options that are not known.
func TestEffect(t *testing.T) {
	v60, v70, v74, v80 := Server{Version: 60016}, Server{Version: 70015}, Server{Version: 70400}, Server{Version: 80002}
	v82, v88 := Server{Version: 80200}, Server{Version: 80800}
	for _, c := range []struct {
		name     string
		from, to Server
		shift    int64
		request  string
		reply    string
		follow   []string // nil: none, as in a transaction
		want     string
	}{
		{"a relative expiry is corrected", v70, v70, 250, "SET k v EX 100", "+OK\r\n", []string{":2000000\r\n"},
			"rewritten blind expires | SET k v PXAT 2000250"},
		{"an absolute expiry is not", v70, v70, 250, "SET k v PXAT 9000000", "+OK\r\n", nil,
			"rewritten blind expires | SET k v PXAT 9000000"},
		{"an expiry before 6.2 is a command of its own", v70, v60, 0, "SETEX k 100 v", "+OK\r\n", []string{":2000000\r\n"},
			"rewritten blind expires | SET k v | PEXPIREAT k 2000000"},
		{"a key that has expired since is gone", v70, v70, 0, "SET k v PX 1", "+OK\r\n", []string{":-2\r\n"}, "rewritten blind | DEL k"},
		{"before 7.0 the primary's TIME makes a TTL a time", v60, v70, 0, "EXPIRE k 5", ":1\r\n",
			[]string{":5000\r\n", "*2\r\n$4\r\n2000\r\n$6\r\n123456\r\n"}, "rewritten expires | PEXPIREAT k 2005123"},
		{"and where TIME is refused, the clock", v60, v70, 0, "EXPIRE k 5", ":1\r\n",
			[]string{":5000\r\n", "-NOPERM\r\n"}, "rewritten expires | PEXPIREAT k 1005000"},
		{"a time that overflows the clock is copied", v60, v70, 0, "PSETEX k 9223372036854775807 v", "+OK\r\n",
			[]string{":9223372036854775807\r\n", "*2\r\n$4\r\n2000\r\n$6\r\n123456\r\n"}, "copy expires"},
		{"and one that overflows when it is corrected", v70, v70, 250, "SET k v EX 100", "+OK\r\n",
			[]string{":9223372036854775800\r\n"}, "copy expires"},
		{"the least number is one that later versions do not subtract", v60, v70, 0, "DECRBY k -9223372036854775808",
			":-9223372036854775808\r\n", nil, "copy expires"},
		{"other numbers they do", v60, v70, 0, "DECRBY k -9", ":-8\r\n", nil, "verbatim"},
		{"without a follow-up it is copied", v70, v70, 0, "EXPIRE k 5", ":1\r\n", nil, "copy expires"},
		{"a refused condition has no effect", v70, v70, 0, "EXPIRE k 5 NX", ":0\r\n", nil, "none"},
		{"a time long past deletes", v70, v70, 0, "EXPIREAT k 10", ":1\r\n", nil, "rewritten blind | DEL k"},
		{"a time just past does what it says", v70, v70, 0, "PEXPIREAT k 999900", ":1\r\n", nil, "rewritten expires | PEXPIREAT k 999900"},
		{"INCREX takes over the key", v88, v88, 7, "INCREX k EX 10", "*2\r\n:5\r\n:1\r\n", []string{"$1\r\n5\r\n", ":2000000\r\n"},
			"rewritten blind expires | SET k 5 PXAT 2000007"},
		{"INCREX of a key that is gone", v88, v88, 0, "INCREX k", "*2\r\n:5\r\n:1\r\n", []string{"$-1\r\n", ":-2\r\n"}, "rewritten blind | DEL k"},
		{"INCREX in a transaction", v88, v88, 0, "INCREX k", "*2\r\n:5\r\n:1\r\n", nil, "copy expires"},
		{"DELEX", v88, v70, 0, "DELEX k IFEQ x", ":1\r\n", nil, "rewritten blind | DEL k"},
		{"a condition on a digest, answered by the value", v88, v88, 0, "SET k v IFDEQ abc GET", "$1\r\nx\r\n", nil, "copy expires"},
		{"a condition on a digest, answered by OK", v88, v88, 0, "SET k v IFDEQ abc", "+OK\r\n", nil, "rewritten blind | SET k v"},
		{"a condition on the value, met", v88, v88, 0, "SET k v IFNE y GET", "$1\r\nx\r\n", nil, "rewritten blind | SET k v"},
		{"a condition on the value, not met", v88, v88, 0, "SET k v IFNE x GET", "$1\r\nx\r\n", nil, "none"},
		{"an option that is not known", v88, v88, 0, "SET k v FUTURE", "+OK\r\n", nil, "copy expires"},
		{"an option of XADD that is not known", v88, v88, 0, "XADD s FUTURE 5 * f v", "$3\r\n1-1\r\n", nil, "copy expires"},
		{"an idempotent XADD", v88, v88, 0, "XADD s IDMP p i * f v", "$3\r\n1-1\r\n", nil, "copy expires"},
		{"XADD that keeps what is not acknowledged", v88, v88, 0, "XADD s ACKED MAXLEN ~ 5 * f v", "$3\r\n1-1\r\n", []string{":3\r\n"}, "copy expires"},
		{"XADD that drops references", v82, v82, 0, "XADD s DELREF MAXLEN ~ 5 * f v", "$3\r\n1-1\r\n", []string{":3\r\n"},
			"rewritten | XADD s DELREF MAXLEN = 3 1-1 f v"},
		{"the same for an older server", v82, v80, 0, "XADD s DELREF MAXLEN = 5 * f v", "$3\r\n1-1\r\n", nil, "copy expires"},
		{"XADD that keeps references", v82, v70, 0, "XADD s KEEPREF MAXLEN 5 * f v", "$3\r\n1-1\r\n", nil, "rewritten | XADD s MAXLEN 5 1-1 f v"},
		{"XADD for 6.0", v70, v60, 0, "XADD s NOMKSTREAM * f v", "$3\r\n1-1\r\n", nil, "rewritten | XADD s 1-1 f v"},
		{"XTRIM by id for 6.0", v70, v60, 0, "XTRIM s MINID 5", ":2\r\n", nil, "copy expires"},
		{"XTRIM by id, approximate, for 6.0", v70, v60, 0, "XTRIM s MINID ~ 5", ":2\r\n", []string{":9\r\n"}, "rewritten | XTRIM s MAXLEN = 9"},
		{"XREADGROUP that claims", v88, v88, 0, "XREADGROUP GROUP g c CLAIM 5 STREAMS s >", "*-1\r\n", nil, "copy expires"},
		{"XREADGROUP that blocked", v70, v70, 0, "XREADGROUP GROUP g c BLOCK 5 STREAMS s 0", "*1\r\n*2\r\n$1\r\ns\r\n*0\r\n", nil,
			"rewritten | XREADGROUP GROUP g c STREAMS s 0"},
		{"new entries get the time of their delivery", v70, v70, 0, "XREADGROUP GROUP g c STREAMS s >", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", nil,
			"rewritten | XREADGROUP GROUP g c STREAMS s > | XCLAIM s g c 0 1-1 TIME 1000000 JUSTID"},
		{"a consumer's own entries are only read again", v70, v70, 0, "XREADGROUP GROUP g c STREAMS s 0", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", nil,
			"rewritten | XREADGROUP GROUP g c STREAMS s 0"},
		{"a claim that may have dropped entries, which 6.0 keeps", v70, v60, 0, "XCLAIM s g c 0 1-1 2-1 JUSTID", "*1\r\n$3\r\n1-1\r\n",
			[]string{"*0\r\n"}, "copy expires"},
		{"a claim of nothing that may have dropped entries", v70, v60, 0, "XCLAIM s g c 0 1-1", "*0\r\n", []string{"*0\r\n"}, "copy expires"},
		{"a claim of all that was asked for", v70, v60, 0, "XCLAIM s g c 0 1-1 JUSTID", "*1\r\n$3\r\n1-1\r\n", []string{"*0\r\n"},
			"rewritten | XCLAIM s g c 0 1-1 TIME 1000000 JUSTID"},
		{"XDELEX", v82, v82, 0, "XDELEX s DELREF IDS 1 1-1", "*1\r\n:1\r\n", nil, "verbatim"},
		{"XDELEX for an older server", v82, v80, 0, "XDELEX s DELREF IDS 1 1-1", "*1\r\n:1\r\n", nil, "copy expires"},
		{"HINCRBYFLOAT of a field that expires, for 7.4", v80, v74, 0, "HINCRBYFLOAT h f 1", "$1\r\n3\r\n", []string{"*1\r\n:2000000\r\n"},
			"rewritten expires | HSET h f 3 | HPEXPIREAT h 2000000 FIELDS 1 f"},
		{"HINCRBYFLOAT where fields do not expire", v70, v80, 0, "HINCRBYFLOAT h f 1", "$1\r\n3\r\n", nil, "rewritten | HSET h f 3"},
		{"HEXPIRE is corrected", v80, v80, 30, "HEXPIRE h 9 FIELDS 3 a b c", "*3\r\n:1\r\n:-2\r\n:2\r\n", []string{"*3\r\n:2000000\r\n:-2\r\n:-2\r\n"},
			"rewritten expires | HPEXPIREAT h 2000030 FIELDS 1 a | HDEL h c"},
		{"HEXPIRE for a server whose fields do not expire", v80, v70, 0, "HEXPIRE h 9 FIELDS 1 a", "*1\r\n:1\r\n", []string{"*1\r\n:2000000\r\n"}, "copy expires"},
		{"HEXPIRE that deleted, for such a server", v80, v70, 0, "HEXPIRE h 0 FIELDS 1 a", "*1\r\n:2\r\n", []string{"*1\r\n:-2\r\n"}, "rewritten | HDEL h a"},
		{"RENAME for a server whose fields do not expire", v80, v70, 0, "RENAME h i", "+OK\r\n", nil, "copy expires"},
		{"RENAMENX for such a server", v80, v70, 0, "RENAMENX h i", ":1\r\n", nil, "copy expires"},
		{"RENAMENX that did nothing", v80, v70, 0, "RENAMENX h i", ":0\r\n", nil, "none expires"},
		{"COPY for such a server", v80, v70, 0, "COPY h i", ":1\r\n", nil, "copy expires keys[1]"},
		{"MOVE for such a server", v80, v70, 0, "MOVE h 1", ":1\r\n", nil, "copy expires"},
		{"SWAPDB for such a server", v80, v70, 0, "SWAPDB 0 1", "+OK\r\n", nil, "copy expires"},
		{"RENAME where both have it", v80, v74, 0, "RENAME h i", "+OK\r\n", nil, "verbatim expires"},
		{"RENAME where neither has", v70, v60, 0, "RENAME h i", "+OK\r\n", nil, "verbatim expires"},
		{"LMPOP for 6.0", v70, v60, 0, "LMPOP 2 a b LEFT COUNT 5", "*2\r\n$1\r\nb\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n", nil, "rewritten keys[1] | LTRIM b 2 -1"},
		{"RPOP with a count for 6.0", v70, v60, 0, "RPOP l 2", "*2\r\n$1\r\nx\r\n$1\r\ny\r\n", nil, "rewritten | LTRIM l 0 -3"},
		{"LMOVE for 6.0", v70, v60, 0, "LMOVE a b left right", "$1\r\nx\r\n", nil, "rewritten | RPUSH b x | LPOP a"},
		{"LMOVE that changes nothing, for 6.0", v70, v60, 0, "LMOVE a a LEFT LEFT", "$1\r\nx\r\n", nil, "none"},
		{"a command that the secondary lacks", v70, v60, 0, "COPY a b", ":1\r\n", nil, "copy expires keys[1]"},
		{"an empty store deletes", v70, v70, 0, "SINTERSTORE d a b", ":0\r\n", nil, "rewritten blind keys[0] | DEL d"},
		{"a sum of three depends on the order", v70, v70, 0, "ZUNIONSTORE d 3 a b c WEIGHTS 1 2 3", ":5\r\n", nil, "copy expires keys[0]"},
		{"the greatest of three does not", v70, v70, 0, "ZUNIONSTORE d 3 a b c aggregate max", ":5\r\n", nil, "verbatim"},
		{"a copy of what is only read is not needed", v70, v70, 0, "SORT l BY w_* STORE d", ":5\r\n", nil, "copy expires keys[1]"},
		{"an error has no effect", v70, v70, 0, "INCR k", "-ERR value is not an integer\r\n", nil, "none"},
		{"a RESP3 error has none either", v70, v70, 0, "INCR k", "!7\r\nERR bad\r\n", nil, "none"},
		{"an answer of another kind is not believed", v70, v70, 0, "INCR k", "$1\r\n5\r\n", nil, "copy expires"},
		{"nor is one that is no RESP", v70, v70, 0, "SPOP s 3", "*3\r\n$1\r\nx\r\n", nil, "copy expires"},
		{"a request that has not the form", v70, v70, 0, "INCR k k", ":1\r\n", nil, "copy expires"},
		{"a read has none", v70, v70, 0, "GET k", "$1\r\nx\r\n", nil, "none"},
		{"nor has one that administers", v70, v70, 0, "CONFIG SET a b", "+OK\r\n", nil, "none"},
		{"nor has a message", v70, v70, 0, "PUBLISH c m", ":1\r\n", nil, "none"},
		{"a script without keys", v70, v70, 0, "EVAL x 0", ":1\r\n", nil, "copy expires"},
		{"BLPOP", v70, v70, 0, "BLPOP a b 0", "*2\r\n$1\r\nb\r\n$1\r\nx\r\n", nil, "rewritten keys[1] | LPOP b"},
		{"BLPOP that was not served", v70, v70, 0, "BLPOP a b 1", "*-1\r\n", nil, "none"},
		{"BLPOP that was unblocked", v70, v70, 0, "BLPOP a b 1", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n", nil, "none"},
		{"BLPOP of a list that it did not name", v70, v70, 0, "BLPOP a b 0", "*2\r\n$1\r\nc\r\n$1\r\nx\r\n", nil, "copy expires"},
		{"BLMPOP for 6.0", v70, v60, 0, "BLMPOP 0 2 a b RIGHT", "*2\r\n$1\r\na\r\n*1\r\n$1\r\nx\r\n", nil, "rewritten keys[0] | LTRIM a 0 -2"},
		{"BLMOVE", v70, v70, 0, "BLMOVE a b left right 0", "$1\r\nx\r\n", nil, "rewritten | LMOVE a b LEFT RIGHT"},
		{"BLMOVE for 6.0", v70, v60, 0, "BLMOVE a b left right 0", "$1\r\nx\r\n", nil, "rewritten | RPUSH b x | LPOP a"},
		{"BRPOPLPUSH for 6.0", v70, v60, 0, "BRPOPLPUSH a b 0", "$1\r\nx\r\n", nil, "rewritten | RPOPLPUSH a b"},
		{"BRPOPLPUSH that was not served", v70, v60, 0, "BRPOPLPUSH a b 1", "$-1\r\n", nil, "none"},
		{"BZPOPMAX", v70, v70, 0, "BZPOPMAX a b 0", "*3\r\n$1\r\na\r\n$1\r\nm\r\n,1.5\r\n", nil, "rewritten keys[0] | ZREM a m"},
		{"BZMPOP", v70, v70, 0, "BZMPOP 0 1 a MIN COUNT 2", "*2\r\n$1\r\na\r\n*2\r\n*2\r\n$1\r\nm\r\n$1\r\n1\r\n*2\r\n$1\r\nn\r\n$1\r\n2\r\n", nil, "rewritten keys[0] | ZREM a m n"},
		{"a group that was waited for", v70, v70, 0, "XREADGROUP GROUP g c BLOCK 0 COUNT 1 BLOCK 5 NOACK STREAMS s >", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", nil,
			"rewritten | XREADGROUP GROUP g c COUNT 1 NOACK STREAMS s >"},
		{"DEBUG that may change anything", v70, v70, 0, "DEBUG RELOAD", "+OK\r\n", nil, "copy expires"},
		{"DEBUG that does not", v70, v70, 0, "DEBUG SLEEP 0", "+OK\r\n", nil, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := request(strings.Fields(c.request)...)
			env := &Env{Now: 1000000, Shift: c.shift, Primary: c.from, Secondary: c.to, DBs: 16}
			var follow [][]byte
			for _, f := range c.follow {
				follow = append(follow, []byte(f))
			}
			cmd := Lookup(args)
			if _, n := cmd.FollowUps(nil, args, c.from); c.follow != nil && n != len(c.follow) {
				t.Errorf("%d follow-ups, want %d", n, len(c.follow))
			}
			var e Effect
			cmd.Effect(&e, env, args, []byte(c.reply), follow)
			if got := effectText(&e, args); got != c.want {
				t.Errorf("%s answered %q\n got %s\nwant %s", c.request, c.reply, got, c.want)
			}
		})
	}
}

// TestEffectOfHugePops: what takes more members than one command should name becomes several.
func TestEffectOfHugePops(t *testing.T) {
	a := dial(t, redisdtest.Start(t, redisd.Options{}).Addr)
	b := dial(t, redisdtest.Start(t, redisd.Options{}).Addr)
	const n = 3*removeBatch + 17
	var set, zset []byte
	for i := range n + 5 {
		set = resp.AppendCommand(set, "SADD", "s", fmt.Sprint("member", i))
		zset = resp.AppendCommand(zset, "ZADD", "z", fmt.Sprint(i%1000), fmt.Sprint("member", i))
	}
	for _, k := range []*conn{a, b} {
		k.exchange(set, n+5)
		k.exchange(zset, n+5)
	}
	env := &Env{Primary: a.server, Secondary: b.server}
	for _, words := range [][]string{{"SPOP", "s", fmt.Sprint(n)}, {"ZPOPMAX", "z", fmt.Sprint(n)}} {
		args := request(words...)
		var e Effect
		Lookup(args).Effect(&e, env, args, a.raw(words...), nil)
		if e.N != 4 {
			t.Errorf("%q: %d commands", words, e.N)
		}
		for i, got := range b.exchange(e.Frames, e.N) {
			if !e.Expects[i].Match(got) {
				t.Errorf("%q: command %d answered %q", words, i, got)
			}
		}
	}
	if x, y := a.must("SMEMBERS", "s"), b.must("SMEMBERS", "s"); len(x.Elems) != 5 || join(x.Elems, 1, true) != join(y.Elems, 1, true) {
		t.Errorf("set: primary %s, secondary %s", join(x.Elems, 1, true), join(y.Elems, 1, true))
	}
	if x, y := a.must("ZRANGE", "z", "0", "-1"), b.must("ZRANGE", "z", "0", "-1"); len(x.Elems) != 5 || join(x.Elems, 1, true) != join(y.Elems, 1, true) {
		t.Errorf("sorted set: primary %s, secondary %s", join(x.Elems, 1, true), join(y.Elems, 1, true))
	}
}

func TestResetDropsALargeBuffer(t *testing.T) {
	args := request("SET", "k", strings.Repeat("x", 2*maxKeptFrames), "KEEPTTL")
	var e Effect
	Lookup(args).Effect(&e, &Env{Secondary: Server{Version: 70015}}, args, []byte("+OK\r\n"), nil)
	if e.Kind != Rewritten || len(e.Frames) < 2*maxKeptFrames {
		t.Fatalf("kind %d with %d bytes", e.Kind, len(e.Frames))
	}
	e.Reset()
	if cap(e.Frames) > maxKeptFrames || e.Kind != None || e.N != 0 || len(e.Expects) != 0 {
		t.Errorf("after Reset: %d bytes kept, kind %d", cap(e.Frames), e.Kind)
	}
}

func TestExpect(t *testing.T) {
	for _, c := range []struct {
		name    string
		x       Expect
		yes, no []string
	}{
		{"any", ExpectAny(), []string{"+OK\r\n", ":0\r\n", "$-1\r\n", "*0\r\n", "_\r\n"}, []string{"-ERR\r\n", "!3\r\nERR\r\n", ""}},
		{"zero", Expect{}, []string{"+OK\r\n"}, []string{"-ERR\r\n"}},
		{"OK", ExpectOK(), []string{"+OK\r\n"}, []string{"-OK\r\n", "$2\r\nOK\r\n", "+QUEUED\r\n", ":1\r\n"}},
		{"int", ExpectInt(-12), []string{":-12\r\n"}, []string{":12\r\n", "$3\r\n-12\r\n", "-12\r\n", ":-12x\r\n"}},
		{"float", ExpectFloat(0.1), []string{"$3\r\n0.1\r\n", ",0.1\r\n", "$19\r\n0.10000000000000001\r\n"}, []string{"$4\r\n0.11\r\n", "$-1\r\n", ":0\r\n"}},
		{"list", ExpectSame([]byte("*2\r\n$1\r\na\r\n$1\r\nb\r\n")),
			[]string{"*2\r\n$1\r\na\r\n$1\r\nb\r\n", "~2\r\n$1\r\na\r\n+b\r\n", "%1\r\n$1\r\na\r\n$1\r\nb\r\n"},
			[]string{"*2\r\n$1\r\nb\r\n$1\r\na\r\n", "*1\r\n$2\r\nab\r\n", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n", "*0\r\n"}},
		{"null", ExpectSame([]byte("*-1\r\n")), []string{"$-1\r\n", "_\r\n", "*-1\r\n"}, []string{"$0\r\n\r\n", "*0\r\n", ":0\r\n"}},
		{"at least", ExpectAtLeast(1), []string{"*2\r\n:1\r\n:2\r\n", "*0\r\n"}, []string{"*2\r\n:1\r\n:0\r\n", ":1\r\n", "*1\r\n$1\r\n1\r\n", "*1\r\n:-2\r\n"}},
	} {
		for _, r := range c.yes {
			if !c.x.Match([]byte(r)) {
				t.Errorf("%s: %q does not match", c.name, r)
			}
		}
		for _, r := range c.no {
			if c.x.Match([]byte(r)) {
				t.Errorf("%s: %q matches", c.name, r)
			}
		}
	}
}

func TestParseIntIsTheServers(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "-7": -7, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
		if got, ok := parseInt([]byte(text)); !ok || got != want {
			t.Errorf("parseInt(%q) = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", "+1", "01", "-0", " 1", "1 ", "1x", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "0x1"} {
		if got, ok := parseInt([]byte(text)); ok {
			t.Errorf("parseInt(%q) = %d", text, got)
		}
	}
}

// TestNothingPanics gives every command mutilated requests, replies and follow-ups.
func TestNothingPanics(t *testing.T) {
	r := &sampler{Rand: rand.New(rand.NewSource(1)), dumps: []string{"x"}}
	replies := []string{"", "+OK\r\n", ":1\r\n", ":-1\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "_\r\n", "$3\r\nabc\r\n", "*1\r\n:1\r\n",
		"*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", "*3\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n*0\r\n", "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*0\r\n",
		"*2\r\n", "*99999999\r\n", "$9\r\nx\r\n", "*-5\r\n", "$\r\n", "x", "|1\r\n+a\r\n+b\r\n:3\r\n", "~1\r\n$1\r\na\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n"}
	servers := []Server{{}, {Version: 60016}, {Version: 70015}, {Version: 80002}, {Version: 80800}, {Valkey: true, Version: 90102}}
	all := slices.Concat(samples, blockingSamples, scriptSamples, tried, vectorSamples)
	for _, c := range All() {
		all = append(all, c.Name+" {k} {i} {k} {v} {i}")
	}
	for range 60000 {
		args := r.request(r.pick(all...))
		switch r.Intn(5) {
		case 0:
			args = args[:1+r.Intn(len(args))]
		case 1:
			args = append(args, []byte(r.pick("NX", "STORE", "FIELDS", "9", "COUNT", "STREAMS", "")))
		case 2:
			args[r.Intn(len(args))] = []byte(r.pick("", "-1", "x", "99999999999"))
		}
		cmd := Lookup(args)
		if cmd == nil {
			continue
		}
		env := &Env{DBs: 2, Now: 5, Primary: servers[r.Intn(len(servers))], Secondary: servers[r.Intn(len(servers))]}
		var follow [][]byte
		if r.Intn(2) == 0 {
			_, n := cmd.FollowUps(nil, args, env.Primary)
			for range n {
				follow = append(follow, []byte(r.pick(replies...)))
			}
		}
		reply := []byte(r.pick(replies...))
		cmd.AppendKeys(nil, args)
		cmd.Refuse(args)
		cmd.Streams(args)
		cmd.WithTimeout(nil, args, 0)
		if frame, _, reshape, ok := cmd.Try(nil, args, env.Primary); ok {
			if resp.Args(frame, nil) == nil {
				t.Fatalf("%q is tried as %q", args, frame)
			}
			for _, reply := range replies {
				reshape(nil, []byte(reply))
			}
		}
		var e Effect
		cmd.Effect(&e, env, args, reply, follow)
		for i, x := range e.Expects {
			x.Match(replyOf(replies, i))
		}
		checkFrames(t, args, reply, &e)
		if e.Kind == Verbatim && cmd.Blocks(args) {
			t.Fatalf("%q answered %q: the effect blocks", args, reply)
		}
	}
}

func replyOf(replies []string, i int) []byte { return []byte(replies[i%len(replies)]) }

// checkFrames: whatever went in, what comes out is N complete commands.
func checkFrames(t *testing.T, args [][]byte, reply []byte, e *Effect) {
	t.Helper()
	n := 0
	for rest := e.Frames; len(rest) > 0; n++ {
		_, took, err := resp.Parse(rest)
		if err != nil {
			t.Fatalf("%q answered %q: frames %q: %v", args, reply, e.Frames, err)
		}
		if part := resp.Args(rest[:took], nil); Lookup(part).Blocks(part) {
			t.Fatalf("%q answered %q: the effect blocks: %q", args, reply, part)
		}
		rest = rest[took:]
	}
	if n != e.N || e.Kind == Rewritten && n == 0 {
		t.Fatalf("%q answered %q: N is %d, frames %q", args, reply, e.N, e.Frames)
	}
	if bytes.Contains(e.Frames, []byte("$-")) {
		t.Fatalf("%q answered %q: frames %q", args, reply, e.Frames)
	}
}
