package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/resp"
	"tandem/router"
)

// Who may not UNWATCH watches on, and what they watch is nobody else's affair.
func TestWhoMayNotUnwatchWatchesOn(t *testing.T) {
	o := redisd.Options{Password: "secret", Args: []string{"--user", "app", "on", ">pw", "~*", "+@all", "-unwatch"}}
	h := newHouseOn(t, o, o, true, nil)
	a, b, owner := h.client(), h.client(), h.client()
	owner.expect("AUTH secret", "+OK")
	for _, w := range []*wire{a, b} {
		w.expect("AUTH app pw", "+OK")
	}
	a.expect("WATCH k", "+OK")
	if got := a.do("UNWATCH"); !strings.HasPrefix(got, "-NOPERM") {
		t.Fatal(got)
	}
	owner.expect("SET k 1", "+OK")
	for _, c := range []string{"MULTI", "SET k 2", "EXEC"} {
		if got, want := b.do(c), map[string]string{"MULTI": "+OK", "SET k 2": "+QUEUED", "EXEC": "*1 +OK"}[c]; got != want {
			t.Fatalf("%s: %q, want %q: it is served on a lane that watches for another", c, got, want)
		}
	}
	if got := a.transact(true, "SET k 3"); got != "*-1" {
		t.Errorf("EXEC of who still watches: %q", got)
	}
	a.expect("UNWATCH x", "-ERR wrong number of arguments for 'unwatch' command")
	a.expect("GET k", "$1 2")
}

// A cursor that a transaction gives, or is given, is of one primary: on another the scan starts over, and misses nothing.
func TestAScanInTransactionsMissesNothingAcrossASwap(t *testing.T) {
	for _, at := range []string{"between", "queued", "never"} {
		t.Run(at, func(t *testing.T) {
			h := newHouse(t, true, nil)
			c := h.client()
			add := []string{"SADD", "s"}
			for i := range 2000 {
				add = append(add, fmt.Sprint("member-", i))
			}
			c.send(string(resp.AppendCommand(nil, add...)))
			if got := c.reply(); got != ":2000" {
				t.Fatal(got)
			}
			h.settled()
			h.swap(h.tgt, h.src) // from here on cursors have an epoch
			seen := map[string]bool{}
			cursor, rounds := "0", 0
			for rounds == 0 || cursor != "0" {
				if rounds++; rounds > 1000 {
					t.Fatal("the scan does not end")
				}
				if rounds == 20 && at == "between" {
					h.swap(h.src, h.tgt)
				}
				c.expect("MULTI", "+OK")
				c.expect("SSCAN s "+cursor+" COUNT 10", "+QUEUED")
				if rounds == 20 && at == "queued" {
					h.swap(h.src, h.tgt)
				}
				words := strings.Fields(c.do("EXEC")) // *1 *2 $n cursor *m $n member ...
				cursor = words[3]
				if n := len(cursor); cursor != "0" && n < 15 {
					t.Fatalf("cursor %s has no epoch", cursor)
				}
				for i := 6; i < len(words); i += 2 {
					seen[words[i]] = true
				}
			}
			if len(seen) != 2000 {
				t.Errorf("%d members of 2000 in %d rounds", len(seen), rounds)
			}
			if at != "never" && rounds < 200 {
				t.Errorf("%d rounds: the scan did not start over", rounds)
			}
		})
	}
}

// openReply reads the header of an array, and n replies behind it.
func (w *wire) openReply(n int) (all []string) {
	w.t.Helper()
	header, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	all = append(all, strings.TrimSpace(header))
	for range n {
		all = append(all, w.reply())
	}
	return all
}

// What a transaction sets for the connection holds on another primary too, whether the roles change before it is
// executed or after.
func TestWhatATransactionSetsGoesAlongWithASwap(t *testing.T) {
	for _, at := range []string{"begun", "queued", "executed"} {
		t.Run(at, func(t *testing.T) {
			h := newHouse(t, true, nil)
			redirected, other := h.resp3(), h.client()
			redirected.expect("SUBSCRIBE none", ">3 $9 subscribe $4 none :1")
			id := strings.TrimPrefix(redirected.do("CLIENT ID"), ":")
			c, d := h.client(), h.client()
			swap := func(now string) {
				if now == at {
					h.swap(h.tgt, h.src)
				}
			}
			for _, w := range []*wire{c, d} {
				w.expect("MULTI", "+OK")
			}
			swap("begun")
			for _, command := range []string{"INCR n", "HELLO 3", "SUBSCRIBE a b", "CLIENT TRACKING ON", "CLIENT SETNAME set", "INCR n"} {
				c.expect(command, "+QUEUED")
			}
			for _, command := range []string{"CLIENT TRACKING ON REDIRECT " + id, "GET k", "CLIENT GETREDIR"} {
				d.expect(command, "+QUEUED")
			}
			swap("queued")
			c.send(string(execFrame))
			got := c.openReply(7)
			if strings.HasPrefix(got[2], "%7 ") {
				got[2] = "HELLO"
			}
			if want := []string{"*6", ":1", "HELLO", ">3 $9 subscribe $1 a :1", ">3 $9 subscribe $1 b :2", "+OK", "+OK", ":2"}; !slices.Equal(got, want) {
				t.Fatalf("EXEC: %q, want %q", got, want)
			}
			if got := d.do("EXEC"); got != "*3 +OK $-1 :"+id {
				t.Fatalf("EXEC: %q", got)
			}
			swap("executed")
			if at == "executed" {
				for w, null := range map[*wire]string{c: "_", redirected: "$-1"} { // as the protocol of whose keys it is has it
					if got := w.reply(); got != ">2 $10 invalidate "+null {
						t.Fatalf("%q instead of the word to forget everything", got)
					}
				}
			}
			c.expect("CLIENT GETNAME", "$3 set")
			c.expect("GET k", "_")
			d.expect("GET k", "$-1")
			d.expect("CLIENT GETREDIR", ":"+id)
			other.expect("PUBLISH b hello", ":1")
			if got := c.reply(); got != ">3 $7 message $1 b $5 hello" {
				t.Fatal(got)
			}
			other.expect("SET k 1", "+OK")
			for _, w := range []*wire{c, redirected} {
				if got := w.reply(); got != ">2 $10 invalidate *1 $1 k" {
					t.Fatal(got)
				}
			}
			h.settled()
			h.same()
		})
	}
}

// What one server has refused to queue makes EXEC fail on another too, which might have queued it.
func TestATransactionThatIsToFailFailsOnAnotherServer(t *testing.T) {
	newer, ok := redisdtest.Find(t, "redis-8.0")
	if !ok {
		t.Fatal("redis-8.0 is not here")
	}
	h := newHouseOn(t, redisd.Options{}, redisd.Options{Binary: newer[0].Path}, true, nil)
	c := h.client()
	c.expect("MULTI", "+OK")
	c.expect("SET k 1", "+QUEUED")
	if got := c.do("HGETDEL h FIELDS 1 f"); !strings.HasPrefix(got, "-ERR unknown command") {
		t.Fatal(got)
	}
	h.swap(h.tgt, h.src)
	if got := c.do("EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("EXEC: %q", got)
	}
	c.expect("GET k", "$-1")
}

// A learned command that may be about its connection has one of its own, within a transaction too.
func TestALearnedCommandInATransactionMayBeAboutItsConnection(t *testing.T) {
	valkey, ok := redisdtest.Find(t, "valkey-8.1")
	if !ok {
		t.Fatal("valkey-8.1 is not here")
	}
	o := redisd.Options{Binary: valkey[0].Path, Args: []string{"--rename-command", "READONLY", "XSTATE"}}
	bothWays(t, func(t *testing.T, whole bool) {
		h := newHouseOn(t, o, o, true, nil)
		cmd, err := router.Learn([]byte("*7\r\n$6\r\nxstate\r\n:1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*0\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		h.shard.lock()
		h.shard.learned["XSTATE"] = &learned{cmd: cmd, until: time.Now().Add(time.Hour), of: h.shard.primary}
		h.shard.unlock()
		c := h.client()
		if got := c.transact(whole, "XSTATE", "INCR n"); got != "*2 +OK :1" {
			t.Fatal(got)
		}
		s := h.session()
		h.shard.lock()
		defer h.shard.unlock()
		if !s.keeps("XSTATE") || s.pins&pinState == 0 || s.pinned == nil || s.pinned.clean() {
			t.Errorf("the session keeps %v, its pins are %b", s.state, s.pins)
		}
	})
}

// Who wants no replies gets none to an EXEC that is not sent.
func TestAnExecThatIsNotSentIsSilentIfItIsToBe(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("WATCH k", "+OK")
	h.swap(h.tgt, h.src)
	for _, command := range []string{"CLIENT REPLY OFF", "MULTI", "SET k 1", "EXEC", "CLIENT REPLY ON"} {
		c.send(string(resp.AppendCommand(nil, strings.Fields(command)...)))
	}
	if got := c.reply(); got != "+OK" {
		t.Error(got)
	}
	c.expect("GET k", "$-1")
}

// A transaction that runs and one that does not leave the lane that they were on as the next session needs it.
func TestTheNextSessionHasNothingOfATransactionsState(t *testing.T) {
	h := newHouse(t, true, nil)
	for range 3 {
		c, other := h.client(), h.client()
		if got := c.transact(false, "HELLO 3", "GET k", "HELLO 2", "SELECT 3", "SELECT 0", "GET k"); !strings.HasSuffix(got, " _") &&
			!strings.HasSuffix(got, "$-1") {
			t.Fatal(got)
		}
		other.expect("WATCH w", "+OK")
		other.expect("GET k", "$-1")
		other.expect("UNWATCH", "+OK")
		c.expect("WATCH w", "+OK")
		other.expect("SET w 1", "+OK")
		if got := c.transact(false, "HELLO 3", "SELECT 3", "SUBSCRIBE a", "CLIENT TRACKING ON"); got != "*-1" {
			t.Fatal(got)
		}
		c.expect("CLIENT GETREDIR", ":-1")
		c.expect("GET k", "$-1")
		c.expect("WATCH w", "+OK")
		c.expect("PING", "+PONG")
		c.expect("UNWATCH", "+OK")
		_, _ = c.Close(), other.Close()
	}
}

// An EXEC's reply is read right however it arrives, and in whatever order the server says what.
func TestExecRepliesAreReadElementByElement(t *testing.T) {
	command := func(name string, channels int) part {
		return part{cmd: router.Lookup([][]byte{[]byte(name)}), channels: channels}
	}
	sub := func(kind, name string) string {
		return fmt.Sprintf("*3/$%d/%s/$%d/%s/:1/", len(kind), kind, len(name), name)
	}
	for _, test := range []struct {
		name   string
		parts  []part
		reply  []string // each a piece, behind the header
		of     []int    // the parts that they are of
		before []string // channels there are
	}{
		{"one for each channel", []part{command("SUBSCRIBE", 2), command("GET", 0)},
			[]string{sub("subscribe", "a"), sub("subscribe", "b"), "$1/x/"}, []int{0, 0, 1}, nil},
		{"as pushes", []part{command("SUBSCRIBE", 2), command("GET", 0)},
			[]string{">" + sub("subscribe", "a")[1:], ">" + sub("subscribe", "b")[1:], "_/"}, []int{0, 0, 1}, nil},
		{"an error instead", []part{command("SSUBSCRIBE", 2), command("GET", 0)}, []string{"-ERR no/", "$-1/"}, []int{0, 1}, nil},
		{"all that there are", []part{command("UNSUBSCRIBE", allChannels), command("GET", 0)},
			[]string{sub("unsubscribe", "a"), sub("unsubscribe", "b"), ":1/"}, []int{0, 0, 1}, []string{"a", "b"}},
		{"none that there are", []part{command("UNSUBSCRIBE", allChannels), command("GET", 0)},
			[]string{"*3/$11/unsubscribe/$-1/:0/", ":1/"}, []int{0, 1}, nil},
		{"those subscribed to before in it", []part{command("SUBSCRIBE", 2), command("UNSUBSCRIBE", allChannels), command("GET", 0)},
			[]string{sub("subscribe", "a"), sub("subscribe", "b"), sub("unsubscribe", "b"), sub("unsubscribe", "a"), ":1/"},
			[]int{0, 0, 1, 1, 2}, nil},
		{"messages in between", []part{command("SUBSCRIBE", 1), command("PUBLISH", 0), command("LRANGE", 0)},
			[]string{sub("subscribe", "a"), "*3/$7/message/$1/a/$1/x/", ":1/", "*3/$7/message/$1/b/$1/x/"}, []int{0, noPart, 1, 2}, nil},
		{"pushes in between", []part{command("SET", 0), command("SET", 0)},
			[]string{">2/$10/invalidate/*1/$1/k/", "+OK/", ">2/$10/invalidate/_/", "+OK/"}, []int{noPart, 0, noPart, 1}, nil},
		{"lines of MONITOR", []part{command("GET", 0), command("MONITOR", 0), command("ECHO", 0)},
			[]string{"+1.5 [0 x] no line/", "+OK/", "+1.5 [0 x] \"ECHO\"/", "+x/"}, []int{0, 1, noPart, 2}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := &execReply{parts: test.parts, inBetween: true}
			for _, name := range test.before {
				x.subs.confirm("subscribe", []byte(name))
			}
			var f resp.Framer
			stream := crlf(fmt.Sprintf("*%d/", len(test.parts)) + strings.Join(test.reply, ""))
			begin, last := 0, false
			for at := 0; at < len(stream); {
				f.OpenArrays(!x.begun)
				n, done, err := f.Feed(stream[at : at+1])
				if err != nil || last {
					t.Fatalf("%v, over %v, after %q", err, last, stream[:at])
				}
				if at += n; done {
					last = x.take(stream[begin:at])
					begin = at
				}
			}
			if !last {
				t.Error("it is not known to be over")
			}
			var of []int
			for i, p := range x.pieces {
				of = append(of, p.part)
				if got := string(stream[p.from:p.to]); got != string(crlf(test.reply[i])) {
					t.Errorf("piece %d is %q", i, got)
				}
			}
			if !slices.Equal(of, test.of) {
				t.Errorf("pieces of the parts %v, want %v", of, test.of)
			}
		})
	}
}

// crlf makes the lines of a reply, whose ends are written as slashes.
func crlf(lines string) []byte { return []byte(strings.ReplaceAll(lines, "/", "\r\n")) }
