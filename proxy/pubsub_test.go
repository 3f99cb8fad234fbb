package proxy

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// twins are clients of the proxy, each with a twin on a direct connection to another server of the same kind. Both
// are told the same, and what they get must be equal, byte for byte.
type twins struct {
	t       *testing.T
	h       *house
	alone   *redisd.Server
	clients map[string][2]*wire
	fences  int
	// loose: when invalidations come is not determined. They are taken out, and what they were of is kept.
	loose   bool
	invalid [2]map[string]bool
	heard   [2]string // who was said to be gone, to whom invalidations were redirected
}

func newTwins(t *testing.T, o redisd.Options, replicate bool) *twins {
	t.Helper()
	return &twins{t: t, h: newHouseOn(t, o, o, replicate, nil), alone: redisdtest.Start(t, o), clients: map[string][2]*wire{}}
}

// onEveryServer runs a test with each version of a server that this machine has, where effects are replicated.
func onEveryServer(t *testing.T, f func(t *testing.T, name string, w *twins)) {
	for _, b := range redisdtest.Binaries(t) {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			f(t, b.Name, newTwins(t, redisd.Options{Binary: b.Path}, true))
		})
	}
}

func (w *twins) pair(name string) [2]*wire {
	w.t.Helper()
	p, ok := w.clients[name]
	if !ok {
		p = [2]*wire{dial(w.t, w.alone.Addr), w.h.client()}
		w.clients[name] = p
	}
	return p
}

// until reads up to the end of a reply that says mark.
func (w *wire) until(mark string) string {
	w.t.Helper()
	var b []byte
	for !bytes.HasSuffix(b, []byte(mark+"\r\n")) {
		c, err := w.r.ReadByte()
		if err != nil {
			w.t.Fatalf("%q did not come; what came is %q: %v", mark, b, err)
		}
		b = append(b, c)
	}
	return string(b)
}

// differing replaces what cannot be equal: ids and addresses of clients, times.
var differing = regexp.MustCompile(`id=\d+|\$2\r\nid\r\n:\d+|l?addr=\S+|(?:redirect|redir)\r\n:[1-9]\d*|\d{10}\.\d{6} \[\d+ [^\]]*\]`)

var gone = regexp.MustCompile(`tracking-redir-broken\r\n:(\d+)`)

// say has a client write lines of inline commands in one piece, and a PING of a certain text; it returns what came
// up to that, which is compared.
func (w *twins) say(name string, lines ...string) string {
	w.t.Helper()
	w.fences++
	mark := fmt.Sprint("fence-", w.fences)
	return w.sayUntil(name, mark, append(lines, "PING "+mark)...)
}

// sayUntil is say without the PING: the last of what comes says mark.
func (w *twins) sayUntil(name, mark string, lines ...string) string {
	w.t.Helper()
	var got [2]string
	pair := w.pair(name)
	for i, c := range pair {
		c.send(strings.Join(lines, "\r\n") + "\r\n")
		got[i] = c.until(mark)
		if m := gone.FindStringSubmatch(got[i]); m != nil {
			w.heard[i] = m[1]
		}
		if w.loose {
			got[i] = w.takeInvalidations(i, got[i])
		}
		got[i] = differing.ReplaceAllString(gone.ReplaceAllString(got[i], "*"), "*")
	}
	if got[0] != got[1] {
		w.t.Errorf("%s: %q\n direct %q\n  proxy %q", name, lines, got[0], got[1])
	}
	return got[0]
}

var invalidation = regexp.MustCompile(`>2\r\n\$10\r\ninvalidate\r\n(?:_\r\n|\*\d+\r\n(?:\$1\r\n[a-z]\r\n)+)`)

// unheard waits until nobody listens to a channel of the primary: what a session had to itself is closed behind the
// answer to its RESET.
func (h *house) unheard(channel string) {
	h.t.Helper()
	w := h.direct(h.source)
	for until := time.Now().Add(10 * time.Second); ; {
		got := w.do("PUBSUB NUMSUB " + channel)
		if strings.HasSuffix(got, ":0") {
			return
		}
		if time.Now().After(until) {
			h.t.Fatalf("somebody listens to %s still: %s", channel, got)
		}
	}
}

func (w *twins) takeInvalidations(i int, got string) string {
	if w.invalid[i] == nil {
		w.invalid[i] = map[string]bool{}
	}
	for _, m := range invalidation.FindAllString(got, -1) {
		for _, word := range strings.Fields(m)[3:] {
			if word[0] != '$' && word[0] != '*' {
				w.invalid[i][word] = true
			}
		}
	}
	return invalidation.ReplaceAllString(got, "")
}

// script is a conversation: lines of "client: command; command; ...", all of a line in one write.
func (w *twins) script(text string) {
	w.t.Helper()
	for line := range strings.Lines(text) {
		if name, commands, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			var all []string
			for c := range strings.SplitSeq(commands, ";") {
				if c = strings.TrimSpace(c); c != "" {
					all = append(all, c)
				}
			}
			w.say(name, all...)
		}
	}
}

func TestSubscribersSeeWhatTheyWouldSeeDirectly(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		for _, three := range []bool{false, true} {
			c := fmt.Sprint("c", three)
			if three {
				w.say(c, "HELLO 3")
			}
			w.script(strings.ReplaceAll(`
				c: SUBSCRIBE a b; PUBLISH a 1; PING; UNSUBSCRIBE a b
				c: SUBSCRIBE a b; PING; PING x; UNSUBSCRIBE a; GET k; UNSUBSCRIBE b; GET k; PUBLISH a 1
				c: SUBSCRIBE; UNSUBSCRIBE; PUNSUBSCRIBE; UNSUBSCRIBE x y; PUNSUBSCRIBE x; PUBLISH; PUBSUB
				c: SUBSCRIBE a a a; UNSUBSCRIBE a a; SUBSCRIBE a; PSUBSCRIBE a* b*; SUBSCRIBE b
				p: PUBLISH a 1; PUBLISH b 2; PUBLISH c 3; PUBLISH ab 4
				c:
				p: PUBSUB NUMSUB a b c; PUBSUB NUMPAT; PUBSUB CHANNELS a*; PUBSUB CHANNELS b; PUBSUB NUMSUB
				c: UNSUBSCRIBE a; PUNSUBSCRIBE nosuch; PUNSUBSCRIBE b*
				p: PUBLISH a 5; PUBLISH b 6; SET k v
				c: SET k w; GET k; MGET k k; MULTI; GET k; EXEC; BLPOP l 0.01; SELECT 3; CLIENT GETNAME; CLIENT ID x; NOSUCH a; ECHO b
				c: HELLO; UNSUBSCRIBE; PUNSUBSCRIBE a* b*; SELECT 0; GET k
				p: PUBSUB NUMSUB a b; PUBSUB NUMPAT; PUBSUB CHANNELS
				`, "c:", c+":"))
		}
		w.script(`
			x: MULTI; SET k 1; EXEC; SUBSCRIBE a; MULTI; PING
			x: UNSUBSCRIBE; MULTI; SET k 2; EXEC
			x: WATCH k; SUBSCRIBE a; UNSUBSCRIBE; MULTI; SET k 3; EXEC; GET k
		`)
		if name != "redis-6.0" {
			w.script(`
				s: HELLO 3
				s: SSUBSCRIBE a b; SPUBLISH a 1; PUBLISH a 2; SUNSUBSCRIBE a; SPUBLISH a 3; PUBSUB SHARDCHANNELS; PUBSUB SHARDNUMSUB a b
				p: SPUBLISH b 4
				s: SUNSUBSCRIBE; SUNSUBSCRIBE; GET k
				t: SSUBSCRIBE a; SPUBLISH a 1; SUBSCRIBE a; SUNSUBSCRIBE; GET k; UNSUBSCRIBE; GET k
			`)
		}
		w.h.settled()
		w.h.same()
	})
}

// Protocol, and the end of everything, in every state of a subscriber.
func TestSubscribersChangeProtocolAndReset(t *testing.T) {
	onEveryServer(t, func(t *testing.T, name string, w *twins) {
		w.script(`
			a: HELLO 3; SUBSCRIBE a; PSUBSCRIBE p*; PUBLISH a 1; HELLO 2; PING; GET k
			p: PUBLISH a 2; PUBLISH pq 3
			a: UNSUBSCRIBE; PUNSUBSCRIBE; HELLO 3; GET k; SUBSCRIBE a; GET k; UNSUBSCRIBE a; HELLO 2
			b: HELLO 3 SETNAME me; CLIENT GETNAME; CLIENT TRACKING ON; GET k; SET k 1; GET k; HELLO 2; SET k 2; CLIENT TRACKING OFF
			b: HELLO 3; CLIENT NO-TOUCH ON; GET k; CLIENT NO-TOUCH OFF; CLIENT NO-EVICT ON; SELECT 2; SUBSCRIBE x; SET k 2; SELECT 0; GET k; UNSUBSCRIBE
			b: HELLO 4; HELLO x; HELLO 3 NOSUCH; HELLO 2 SETNAME; CLIENT GETNAME; GET nosuch
		`)
		if name != "redis-6.0" {
			w.script(`
				c: SUBSCRIBE a; RESET; GET k; CLIENT GETNAME
				c: HELLO 3; SUBSCRIBE a; CLIENT TRACKING ON; GET k; MULTI; SET k 1; RESET; GET nosuch; SET k 4
				c: SELECT 3; CLIENT SETNAME x; WATCH k; MULTI; RESET; CLIENT GETNAME; SET k 5; EXEC; GET k
			`)
			w.h.unheard("a")
			w.script(`
				p: PUBLISH a 1; PUBSUB NUMSUB a
				c: MONITOR; RESET; GET k
			`)
		}
		w.h.settled()
		w.h.same()
	})
}

// RESET is no command of Redis 6.0.
func TestResetWhereThereIsNone(t *testing.T) {
	for _, b := range redisdtest.Binaries(t) {
		if b.Name != "redis-6.0" {
			continue
		}
		w := newTwins(t, redisd.Options{Binary: b.Path}, true)
		w.script(`
			c: SUBSCRIBE a; RESET; UNSUBSCRIBE
			c: HELLO 3; SELECT 1; RESET; GET k; MULTI; RESET; EXEC; GET k
		`)
	}
}

func TestMessagesDuringLargeReplies(t *testing.T) {
	t.Parallel()
	w := newTwins(t, redisd.Options{}, true)
	w.say("c", "HELLO 3", "SUBSCRIBE a", "CLIENT TRACKING ON", "DEBUG NOSUCH")
	w.say("p", "SET big "+strings.Repeat("v", 60000))
	for range 8 {
		w.say("p", "COPY big b REPLACE", "APPEND big "+strings.Repeat("w", 60000), "COPY big b REPLACE", "PUBLISH a x")
		w.say("c", "GET big", "PUBLISH a y", "MGET big b big b", "SET k 1", "GET k", "APPEND k z", "PUBLISH a z", "LRANGE nosuch 0 -1")
	}
	w.h.settled()
	w.h.same()
}

func TestASlowSubscriberIsClosedAtItsOutputLimit(t *testing.T) {
	h := newHouse(t, false, func(_ *Options, o *ServerOptions) { o.OutputLimit = 1 << 20 })
	slow, quick, p := h.client(), h.client(), h.client()
	slow.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	quick.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	message := strings.Repeat("m", 50000)
	for n := 0; h.server.Closed(OutputLimit) == 0; n++ {
		if n == 2000 {
			t.Fatal("100 MB are kept for it")
		}
		p.send("PUBLISH a " + message + "\r\n")
		if got := p.reply(); got != ":2" && got != ":1" {
			t.Fatal(got)
		}
		if got := quick.reply(); got != "*3 $7 message $1 a $50000 "+message {
			t.Fatalf("%.100q", got)
		}
	}
	h.await("the server knows", func() bool { return h.server.Sessions() == 2 })
	h.await("its lane is closed", func() bool { return len(h.shard.primary.pinned) == 1 })
	p.expect("PUBLISH a x", ":1")
}
