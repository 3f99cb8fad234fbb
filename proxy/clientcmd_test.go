package proxy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"tandem/internal/redisd"
)

// inTurn says something to one client after the other until all have heard what the others did.
func (w *twins) inTurn(names ...string) {
	w.t.Helper()
	for _, n := range names {
		w.say(n)
	}
}

// (Of a write whose effect needs another look at its key the server notes that this client has read it, so it may hear
// of a change that would not have been told to it directly: nothing here is such a write.)
func TestCachingClientsHearWhatTheyWouldHearDirectly(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		for _, mode := range []string{"", "BCAST", "BCAST PREFIX a PREFIX b", "OPTIN", "OPTOUT", "NOLOOP", "BCAST NOLOOP PREFIX a"} {
			c := "c" + mode
			w.loose = strings.HasPrefix(mode, "BCAST") // they are sent when the server next waits for something
			w.say(c, "HELLO 3")
			w.say(c, "CLIENT TRACKING ON "+mode, "GET a", "GET b", "CLIENT GETREDIR")
			w.script(strings.ReplaceAll(`
				c: SET a 1; GET a; INCR a; MGET a b; DEL a; GET a
				p: SET a 2; SET b 2; SET k 2
				c:
				c: CLIENT CACHING YES; GET a; GET b
				p: SET a 3; SET b 3
				c: CLIENT CACHING NO; GET a; GET b
				p: SET a 4; SET b 4
				c: MULTI; GET a; SET b 5; CLIENT CACHING YES; EXEC
				c:
				c: GET k
				p: SET a 6; SET b 6; DEL k; LPUSH l 1 2 3; LPOP l; LPOP l; SADD s a
				c: HGETALL a; LRANGE l 0 -1; SPOP s; GETDEL b; SET b 1
				p: DEL l s; RPUSH l 5; COPY a b REPLACE; RENAME a c
				c: SELECT 1; GET a
				c: SET a 1
				c:
				c: SELECT 0
				c: GET a
				p: SET a 7; FLUSHDB
				c:
				c: CLIENT TRACKING OFF; GET a; CLIENT GETREDIR
				p: SET a 8
				c: CLIENT TRACKING OFF; CLIENT CACHING YES; CLIENT TRACKING ON NOSUCH; CLIENT TRACKING ON OPTIN OPTOUT; CLIENT TRACKING ON PREFIX a; CLIENT TRACKING
			`, "c:", c+":"))
			if name != "redis-6.0" {
				w.say(c, "CLIENT TRACKING ON "+mode, "CLIENT TRACKINGINFO", "CLIENT TRACKING OFF", "CLIENT TRACKINGINFO")
			}
			if a, b := w.invalid[0], w.invalid[1]; fmt.Sprint(a) != fmt.Sprint(b) || w.loose && len(a) == 0 {
				t.Errorf("%s: direct %v, proxy %v", mode, a, b)
			}
		}
		w.h.settled()
		w.h.same()
	})
}

// Invalidations that are redirected to another session, whose id is another one on each side.
func TestRedirectedInvalidations(t *testing.T) {
	for _, protocols := range []string{"22", "23", "32", "33"} {
		t.Run(protocols, func(t *testing.T) {
			w := newTwins(t, redisd.Options{}, true)
			w.say("from", "HELLO "+protocols[:1])
			w.say("to", "HELLO "+protocols[1:])
			var ids [2]string
			for i := range ids {
				ids[i] = strings.TrimPrefix(w.pair("to")[i].do("CLIENT ID"), ":")
			}
			track := func(options string) {
				t.Helper()
				var got [2]string
				for i := range 2 {
					id, from := ids[i], w.pair("from")[i]
					got[i] = from.do("CLIENT TRACKING ON REDIRECT " + id + options)
					if redir := from.do("CLIENT GETREDIR"); redir != ":"+id {
						t.Errorf("redirected to %s, not %s", redir, id)
					}
					if info := from.do("CLIENT TRACKINGINFO"); !strings.Contains(info, "$8 redirect :"+id+" ") {
						t.Errorf("%q lacks %s", info, id)
					}
				}
				if got[0] != got[1] {
					t.Errorf("%q and %q", got[0], got[1])
				}
			}
			track("") // the other is idle, and has no lane of its own yet
			w.script(`
				from: SET k 1; GET k; SET k 2; GET k
				other: SET k 3
				to: GET k; SET x 1; SUBSCRIBE __redis__:invalidate
				from: GET k
				other: SET k 4
				to: UNSUBSCRIBE __redis__:invalidate; SUBSCRIBE a
				from: GET k; MGET a b
				other: FLUSHALL; SET k 5
				to:
				from: CLIENT TRACKING OFF
				other: SET k 6
				to:
			`)
			track(" BCAST PREFIX q PREFIX r")
			w.script(`
				other: SET q1 1; SET r1 2; SET k 1
				to:
				from:
				from: CLIENT TRACKING ON REDIRECT 999999; CLIENT TRACKING ON REDIRECT x; CLIENT TRACKING ON REDIRECT; CLIENT TRACKING OFF; CLIENT TRACKING ON REDIRECT -5; CLIENT GETREDIR
			`)
			track("")
			w.say("from", "GET k")
			for _, c := range w.pair("to") {
				_ = c.Close()
			}
			w.h.await("it has gone", func() bool { return w.h.server.Sessions() == 2 })
			gone := dial(t, w.alone.Addr)
			for strings.Count(gone.do("CLIENT LIST"), "id=") > 3 {
			}
			for strings.Count(dial(t, w.h.source.Addr).do("CLIENT LIST"), "cmd=subscribe") > 0 {
			}
			w.say("other", "SET k 7")
			got := w.say("from", "CLIENT TRACKINGINFO")
			if w.pair("from")[1].expect("CLIENT GETREDIR", ":"+ids[1]); protocols[0] == '3' && w.heard[1] != ids[1] {
				t.Errorf("it is told that %q is gone, not %q", w.heard[1], ids[1])
			}
			if !strings.Contains(got, "broken_redirect") {
				t.Errorf("%q", got)
			}
		})
	}
}

// A session that others redirect to may be busy, blocked or in a transaction.
func TestRedirectingToABusySession(t *testing.T) {
	h := newHouse(t, true, nil)
	for _, busy := range []string{"MULTI", "WATCH k", "BLPOP nosuch 0.3", "SUBSCRIBE a", "GET k"} {
		from, to := h.resp3(), h.resp3()
		id := strings.TrimPrefix(to.do("CLIENT ID"), ":")
		to.send(busy + "\r\n")
		from.expect("CLIENT TRACKING ON REDIRECT "+id, "+OK")
		want := map[string]string{"MULTI": "+OK", "WATCH k": "+OK", "BLPOP nosuch 0.3": "_", "SUBSCRIBE a": ">3 $9 subscribe $1 a :1", "GET k": "_"}
		if got := to.reply(); got != want[busy] {
			t.Fatalf("%s: %q", busy, got)
		}
		from.do("GET key")
		from.expect("SET key 1", "+OK")
		if got := to.reply(); got != ">2 $10 invalidate *1 $3 key" {
			t.Fatalf("%s: %q", busy, got)
		}
		h.swap(h.roles(1))
		h.swap(h.roles(2))
		for range 2 {
			if got := to.reply(); got != ">2 $10 invalidate _" {
				t.Fatalf("%s: %q", busy, got)
			}
		}
		if busy == "MULTI" {
			to.expect("INCR n", "+QUEUED")
			to.expect("EXEC", "*1 :1")
		}
		to.nothingMore("+PONG")
		from.expect("CLIENT TRACKING OFF", "+OK")
	}
	// Itself.
	c := h.resp3()
	c.expect("CLIENT TRACKING ON REDIRECT "+strings.TrimPrefix(c.do("CLIENT ID"), ":"), "+OK")
	c.do("GET key")
	c.send("SET key 2\r\nPING\r\n")
	if got := c.reply() + c.reply() + c.reply(); got != "+OK>2 $10 invalidate *1 $3 key+PONG" {
		t.Error(got)
	}
}

func TestRepliesThatAreNotWanted(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		for _, proto := range []string{"2", "3"} {
			c := "c" + proto
			w.say(c, "HELLO "+proto)
			w.script(strings.ReplaceAll(`
				c: CLIENT REPLY SKIP; SET k 1; GET k; CLIENT REPLY SKIP; CLIENT REPLY SKIP; GET k; GET k
				c: CLIENT REPLY SKIP; NOSUCH; GET k; CLIENT REPLY NOSUCH; CLIENT REPLY; CLIENT REPLY ON
				c: CLIENT REPLY SKIP; MULTI; INCR k; EXEC; GET k
				c: CLIENT REPLY SKIP; SELECT 1; GET k; CLIENT REPLY SKIP; SELECT 0; CLIENT REPLY SKIP; CLIENT ID; GET k
				c: CLIENT REPLY SKIP; LPUSH l 1 2 3; BLPOP l 0; CLIENT REPLY SKIP; BLPOP l 0; LRANGE l 0 -1
				c: CLIENT REPLY SKIP; HELLO `+proto+`; CLIENT REPLY SKIP; CLIENT SETNAME x; CLIENT GETNAME
			`, "c:", c+":"))
			w.sayUntil(c, "+OK", "CLIENT REPLY OFF", "SET k 1", "GET k", "NOSUCH", "MULTI", "INCR k", "EXEC", "SELECT 1", "PING", "ECHO x",
				"CLIENT REPLY SKIP", "CLIENT ID", "BLPOP l 0.01", "CLIENT REPLY ON")
			w.say(c, "GET k", "SELECT 0", "GET k", "CLIENT REPLY OFF", "INCR k", "CLIENT REPLY ON", "GET k")
		}
		if name != "redis-6.0" { // which sends nothing at all meanwhile, not even what was not asked for
			w.say("s", "HELLO 3")
			w.script(`
				s: CLIENT REPLY SKIP; SUBSCRIBE a; GET k
				s: CLIENT REPLY OFF; SUBSCRIBE b; GET k; CLIENT REPLY ON; GET k
				p: PUBLISH a 1; PUBLISH b 2
				s: CLIENT REPLY OFF; UNSUBSCRIBE b; CLIENT REPLY ON; UNSUBSCRIBE a; GET k
				t: CLIENT REPLY SKIP; SUBSCRIBE a
				p: PUBLISH a 1
				t: UNSUBSCRIBE a; GET k
			`)
		}
		w.h.settled()
		w.h.same()
	})
}

// What concerns the session is queued like anything else, where that is possible.
func TestSessionCommandsInTransactions(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		for _, proto := range []string{"2", "3"} {
			c := "c" + proto
			w.say(c, "HELLO "+proto)
			w.script(strings.ReplaceAll(`
				c: MULTI; SELECT 3; SET a 1; INCR n; SELECT 99; INCR n; EXEC; GET a; INCR n; SELECT 0; GET a; GET n
				c: MULTI; LPUSH l 1 2 3; SELECT 1; RPOP l; SELECT; SELECT 2; EXEC; GET a
				c: MULTI; LPUSH l 1 2 3; SELECT 1; LPUSH l 4; SPOP s; SELECT x; SELECT -1; SELECT 2; SELECT 03; EXEC; LRANGE l 0 -1; SELECT 1; LRANGE l 0 -1; SELECT 0; RPOP l
				c: MULTI; SELECT 5; SET in five; DISCARD; GET in
				c: SELECT 4; SET a 4; MULTI; FLUSHDB; SELECT 3; SET b 3; FLUSHDB; SELECT 4; SET c 4; EXEC; GET a; GET c; SELECT 3; DBSIZE; SELECT 0
				c: WATCH a; MULTI; SELECT 3; SET a 2; EXEC; GET a; SELECT 0
				c: WATCH a; SET a 9; MULTI; SELECT 3; SET a 2; EXEC; GET a; SELECT 0
				c: MULTI; CLIENT SETNAME me; CLIENT GETNAME; PING; ECHO hello; UNWATCH; SET k 1; EXEC; CLIENT GETNAME; GET k
				c: MULTI; CLIENT SETNAME; CLIENT GETNAME; EXEC; PING
				c: MULTI; INCR k; WATCH k; INCR k; EXEC; GET k
				c: MULTI; INCR k; MULTI; INCR k; EXEC; GET k
				c: MULTI; UNWATCH; INCR k; UNWATCH x; EXEC; GET k
				c: MULTI; CLIENT CACHING YES; EXEC
			`, "c:", c+":"))
			if name != "redis-6.0" {
				w.say(c, "MULTI", "MONITOR", "INCR k", "EXEC", "GET k")
				w.say(c, "MULTI", "INCR k", "SELECT 1", "RESET", "GET k")
				w.say(c, "HELLO "+proto)
			}
		}
		w.h.converged()
		w.h.same()
	})
}

func TestSelectInATransactionAcrossASwap(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	h.client().expect("SELECT 3", "+OK")
	c.expect("MULTI", "+OK")
	c.expect("SELECT 3", "+QUEUED")
	c.expect("INCR n", "+QUEUED")
	c.expect("CLIENT SETNAME me", "+QUEUED")
	h.swap(h.tgt, h.src)
	c.expect("UNWATCH", "+QUEUED")
	c.expect("EXEC", "*4 +OK :1 +OK +OK")
	c.expect("INCR n", ":2")
	c.expect("CLIENT GETNAME", "$2 me")
	h.converged()
	h.same()
	dial(t, h.source.Addr).expect("EXISTS n", ":0")
}

// An error that aborts a transaction is not forgotten with the lane that it came on.
func TestAnAbortedTransactionStaysAborted(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		for i, mistake := range []string{"WATCH k", "MULTI", "NOSUCH", "GET", "SET k"} {
			c := fmt.Sprint("c", i)
			w.say(c, "HELLO 3")
			pair := w.pair(c)
			for _, x := range pair {
				x.expect("MULTI", "+OK")
				x.expect("INCR k", "+QUEUED")
				x.do(mistake)
			}
			w.h.swap(w.h.roles(i + 1))
			if a, b := pair[0].do("EXEC"), pair[1].do("EXEC"); a != b {
				t.Errorf("%s: %q, but %q with a swap", mistake, a, b)
			}
		}
		w.h.converged()
		w.h.same()
	})
}

var listed = regexp.MustCompile(`(?m)^.*\bname=(\S+) .*\bdb=(\d+) sub=(\d+) psub=(\d+)(?: ssub=(\d+))? multi=(\S+).*$`)

func TestClientListIsOfTheProxysClients(t *testing.T) {
	h := newHouse(t, true, nil)
	sub, tx, plain := h.client(), h.client(), h.client()
	for w, name := range map[*wire]string{sub: "sub", tx: "tx", plain: "plain"} {
		w.expect("CLIENT SETNAME "+name, "+OK")
	}
	sub.do("SUBSCRIBE a")
	sub.do("SUBSCRIBE b")
	sub.do("PSUBSCRIBE a*")
	tx.expect("SELECT 2", "+OK")
	tx.expect("MULTI", "+OK")
	tx.expect("INCR k", "+QUEUED")
	list := func(words ...string) map[string]string {
		t.Helper()
		out := map[string]string{}
		v := plain.ask(append([]string{"CLIENT", "LIST"}, words...)...)
		for _, m := range listed.FindAllStringSubmatch(string(v.Str), -1) {
			out[m[1]] = strings.Join(m[2:], " ")
		}
		return out
	}
	want := map[string]string{"sub": "0 2 1 0 -1", "tx": "2 0 0 0 1", "plain": "0 0 0 0 -1"}
	if got := list(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	h.swap(h.tgt, h.src)
	if got := list("TYPE", "pubsub"); len(got) != 1 || got["sub"] != want["sub"] {
		t.Errorf("%v", got)
	}
	if got := list("TYPE", "normal"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	id := strings.TrimPrefix(plain.do("CLIENT ID"), ":")
	if got := list("ID", id); len(got) != 1 || got["plain"] == "" {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"CLIENT LIST ID x", "CLIENT LIST TYPE nosuch", "CLIENT LIST NOSUCH x", "CLIENT LIST ID", "CLIENT KILL ID 0",
		"CLIENT KILL 1.2.3.4:5", "CLIENT KILL SKIPME maybe", "CLIENT UNBLOCK x", "CLIENT UNBLOCK 1 NOSUCH", "CLIENT UNBLOCK 999"} {
		direct := dial(t, h.source.Addr)
		if a, b := direct.do(bad), plain.do(bad); a != b {
			t.Errorf("%s: direct %q, proxy %q", bad, a, b)
		}
	}
	// A killed client is gone, and its lane and what it queued with it.
	plain.expect("CLIENT KILL TYPE pubsub", ":1")
	h.await("it has gone", func() bool { return h.server.Sessions() == 2 })
	h.await("so has its lane", func() bool { return len(h.shard.primary.pinned) <= 1 })
	plain.expect("PUBLISH a x", ":0")
	plain.expect("CLIENT KILL USER default", ":1") // not the one who asks
	h.await("it has gone", func() bool { return h.server.Sessions() == 1 })
	plain.expect("CLIENT KILL ID "+id, ":0")
	plain.expect("CLIENT KILL ID "+id+" SKIPME no", ":1")
	if _, err := plain.r.ReadByte(); err == nil {
		t.Error("it should be closed")
	}
}

func TestUnblockingAnother(t *testing.T) {
	h := newHouse(t, true, nil)
	for n, how := range []string{"", " TIMEOUT", " ERROR"} {
		c, other := h.client(), h.client()
		id := strings.TrimPrefix(c.do("CLIENT ID"), ":")
		other.expect("CLIENT UNBLOCK "+id, ":0")
		c.send("BLPOP nosuch 0\r\n")
		s := h.server.byID(int64(2*n + 1))
		h.await("it blocks", func() bool {
			return s.pinned != nil && s.pinned.clientID != 0 && s.pinned.queue.last() != nil && s.pinned.queue.last().blocking != nil
		})
		other.expect("CLIENT UNBLOCK "+id+how, ":1")
		want := "*-1"
		if how == " ERROR" {
			want = "-UNBLOCKED client unblocked via CLIENT UNBLOCK"
		}
		if got := c.reply(); got != want {
			t.Errorf("%s: %q", how, got)
		}
		c.expect("PING", "+PONG")
	}
}

// RESET ends CLIENT REPLY OFF, and is answered; a SKIP before it is for itself.
func TestResetIsAnswered(t *testing.T) {
	h := newHouse(t, false, nil)
	for _, addr := range []string{h.source.Addr, h.server.Addr().String()} {
		w := dial(t, addr)
		w.send("CLIENT REPLY OFF\r\nPING\r\nRESET\r\nECHO 1\r\nCLIENT REPLY SKIP\r\nRESET\r\nECHO 2\r\n")
		for _, want := range []string{"+RESET", "$1 1", "$1 2"} {
			if got := w.reply(); got != want {
				t.Fatalf("%s: %q, want %q", addr, got, want)
			}
		}
	}
}
