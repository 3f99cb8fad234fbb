package proxy

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/instance"
	"tandem/internal/redisd"
)

// published is what a subscriber gets, by protocol and kind of subscription, as reply prints it.
func published(resp3 bool, kind, pattern, channel, message string) string {
	words := []string{kind}
	if pattern != "" {
		words = append(words, pattern)
	}
	words = append(words, channel, message)
	head := "*"
	if resp3 {
		head = ">"
	}
	out := head + strconv.Itoa(len(words))
	for _, w := range words {
		out += fmt.Sprintf(" $%d %s", len(w), w)
	}
	return out
}

// Publishers number their messages, and each is told how many have heard it. Every subscriber must get each
// number once and in order, whatever changes meanwhile; one of them changes its subscriptions all the time.
func TestEachMessageIsHeardOnceAndInOrderAcrossSwaps(t *testing.T) {
	h := newHouse(t, true, nil)
	const channels, swaps = 4, 10
	type subscriber struct {
		w       *wire
		resp3   bool
		kind    string
		pattern string
	}
	var subscribers []subscriber
	for i := range channels {
		channel := fmt.Sprint("news", i)
		two, three, all := h.client(), h.resp3(), h.client()
		two.expect("SUBSCRIBE "+channel, fmt.Sprintf("*3 $9 subscribe $%d %s :1", len(channel), channel))
		three.expect("SUBSCRIBE "+channel, fmt.Sprintf(">3 $9 subscribe $%d %s :1", len(channel), channel))
		all.expect("PSUBSCRIBE "+channel+"*", fmt.Sprintf("*3 $10 psubscribe $%d %s* :1", len(channel)+1, channel))
		subscribers = append(subscribers, subscriber{two, false, "message", ""}, subscriber{three, true, "message", ""},
			subscriber{all, false, "pmessage", channel + "*"})
	}
	var stop atomic.Bool
	var publishers, others sync.WaitGroup
	var counts [channels]int
	for i := range channels {
		publishers.Go(func() {
			c := h.client()
			for n := 1; !stop.Load() && !t.Failed(); n++ {
				c.send(fmt.Sprintf("PUBLISH news%d %d\r\nSET last%d %d\r\n", i, n, i, n))
				if got := c.reply(); got != ":3" {
					t.Errorf("message %d of channel %d was heard by %s", n, i, got)
				}
				if got := c.reply(); got != "+OK" {
					t.Error(got)
				}
				counts[i] = n
			}
			c.send(fmt.Sprintf("PUBLISH news%d end\r\n", i))
			if got := c.reply(); got != ":3" {
				t.Error(got)
			}
		})
	}
	others.Go(func() { // one that comes and goes
		c := h.resp3()
		for n := 0; !stop.Load() && !t.Failed(); n++ {
			c.expect(fmt.Sprint("SUBSCRIBE other", n%5), fmt.Sprintf(">3 $9 subscribe $6 other%d :1", n%5))
			c.expect(fmt.Sprint("UNSUBSCRIBE other", n%5), fmt.Sprintf(">3 $11 unsubscribe $6 other%d :0", n%5))
		}
	})
	others.Go(func() { // one that listens, and counts in transactions, some of which it gives up
		c := h.resp3()
		c.expect("SUBSCRIBE quiet", ">3 $9 subscribe $5 quiet :1")
		for n := 1; !stop.Load() && !t.Failed(); n++ {
			c.expect("MULTI", "+OK")
			c.expect("INCR count", "+QUEUED")
			if n%3 == 0 {
				c.expect("DISCARD", "+OK")
				c.expect("MULTI", "+OK")
				c.expect("INCR count", "+QUEUED")
			}
			c.expect("EXEC", fmt.Sprint("*1 :", n))
		}
	})
	for i, s := range subscribers {
		others.Go(func() {
			channel := fmt.Sprint("news", i/3)
			for n := 1; ; n++ {
				got := s.w.reply()
				if got == published(s.resp3, s.kind, s.pattern, channel, "end") {
					if n != counts[i/3]+1 {
						t.Errorf("subscriber %d of %s has heard %d messages of %d", i%3, channel, n-1, counts[i/3])
					}
					return
				}
				if want := published(s.resp3, s.kind, s.pattern, channel, strconv.Itoa(n)); got != want {
					t.Errorf("subscriber %d: %q, want %q", i, got, want)
					return
				}
			}
		})
	}
	var longest time.Duration
	for n := range swaps {
		began := time.Now()
		h.swap(h.roles(n + 1))
		longest = max(longest, time.Since(began))
		before := h.shard.Counts().Commands
		h.await("commands in between", func() bool { return h.shard.counts.Commands > before+500 })
	}
	stop.Store(true)
	publishers.Wait()
	others.Wait()
	h.settled()
	h.same()
	t.Log("messages", counts, "longest swap", longest)
	// After an even number of swaps the source is the primary: nobody is left at the target.
	if got := dial(t, h.target.Addr).do("PUBSUB NUMSUB news0 news1") + dial(t, h.target.Addr).do("PUBSUB NUMPAT"); got != "*4 $5 news0 :0 $5 news1 :0:0" {
		t.Errorf("the secondary still has subscribers: %s", got)
	}
}

func TestAnUndoneHoldLeavesSubscribersAsTheyWere(t *testing.T) {
	h := newHouse(t, true, nil)
	two, three, p := h.client(), h.resp3(), h.client()
	two.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	three.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
	three.expect("MULTI", "+OK")
	three.expect("INCR n", "+QUEUED")
	for range 3 {
		next, err := h.shard.Prepare(t.Context(), h.tgt, instance.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		h.shard.Hold()
		h.await("answered", func() bool { return h.shard.Answered() && next.Ready() })
		next.Abandon()
		h.shard.Release()
		p.expect("PUBLISH a x", ":2")
		if got := two.reply(); got != "*3 $7 message $1 a $1 x" {
			t.Fatal(got)
		}
		if got := three.reply(); got != ">3 $7 message $1 a $1 x" {
			t.Fatal(got)
		}
	}
	three.expect("INCR n", "+QUEUED")
	three.expect("EXEC", "*2 :1 :2")
	two.nothingMore("*2 $4 pong $0")
	three.nothingMore("+PONG")
	if got := dial(t, h.target.Addr).do("PUBSUB NUMSUB a"); got != "*2 $1 a :0" {
		t.Errorf("the one that was to be the primary still has subscribers: %s", got)
	}
}

// What changes between Prepare and the hold is brought along: subscriptions, database, protocol, new sessions and
// such as have gone.
func TestWhatChangesBehindPrepareIsBroughtAlong(t *testing.T) {
	h := newHouse(t, true, nil)
	grows, shrinks, three, goes, p := h.client(), h.client(), h.resp3(), h.client(), h.client()
	grows.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	shrinks.expect("PSUBSCRIBE a*", "*3 $10 psubscribe $2 a* :1")
	three.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
	goes.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	next, err := h.shard.Prepare(t.Context(), h.tgt, instance.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	grows.expect("SUBSCRIBE b", "*3 $9 subscribe $1 b :2")
	shrinks.expect("PSUBSCRIBE b*", "*3 $10 psubscribe $2 b* :2")
	shrinks.expect("PUNSUBSCRIBE a*", "*3 $12 punsubscribe $2 a* :1")
	three.expect("SELECT 3", "+OK")
	three.expect("CLIENT TRACKING ON", "+OK")
	comes := h.client()
	comes.expect("SUBSCRIBE b", "*3 $9 subscribe $1 b :1")
	_ = goes.Close()
	h.await("it has gone", func() bool { return h.server.Sessions() == 5 })
	e := h.shard.NewEffectLane(h.src, instance.Facts{})
	e.Start()
	old := h.shard.effects
	h.shard.Hold()
	h.await("drained", func() bool { return h.shard.Answered() && h.shard.ledger.Drained() && next.Ready() && e.up })
	h.shard.lock()
	h.shard.Swap(next, e)
	h.shard.unlock()
	h.shard.Release()
	old.Stop()
	if got := three.reply(); got != ">2 $10 invalidate _" {
		t.Error(got)
	}
	p.expect("PUBLISH a 1", ":2")
	p.expect("PUBLISH b 2", ":3")
	for w, want := range map[*wire][]string{
		grows:   {"*3 $7 message $1 a $1 1", "*3 $7 message $1 b $1 2"},
		shrinks: {"*4 $8 pmessage $2 b* $1 b $1 2"},
		three:   {">3 $7 message $1 a $1 1"},
		comes:   {"*3 $7 message $1 b $1 2"},
	} {
		for _, m := range want {
			if got := w.reply(); got != m {
				t.Errorf("%q, want %q", got, m)
			}
		}
	}
	three.expect("SET k v", "+OK")
	dial(t, h.target.Addr).expect("EXISTS k", ":0")
	if got := p.do("SELECT 3") + p.do("GET k"); got != "+OK$1 v" {
		t.Error(got)
	}
	grows.nothingMore("*2 $4 pong $0")
}

func TestMonitorGoesOnWithTheNewPrimary(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		t.Run(fmt.Sprint("resp3=", resp3), func(t *testing.T) {
			h := newHouse(t, true, nil)
			m, c := h.client(), h.client()
			if resp3 {
				m = h.resp3()
			}
			m.expect("MONITOR", "+OK")
			seen := func(n int) {
				t.Helper()
				word := fmt.Sprintf("%q %q", "GET", fmt.Sprint("k", n))
				c.expect(fmt.Sprint("GET k", n), "$-1")
				for {
					line := m.reply()
					if !isMonitorLine([]byte(line)) {
						t.Fatalf("%q is no line of MONITOR", line)
					}
					if strings.Contains(line, word) {
						return
					}
					if strings.Contains(line, `"GET"`) {
						t.Fatalf("%q before %s", line, word)
					}
				}
			}
			for n := range 20 {
				seen(n)
				if n%5 == 4 {
					h.swap(h.roles(n/5 + 1))
				}
			}
		})
	}
}

func TestAPreparationSaysWhatASubscriberLacks(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.client()
	c.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	dial(t, h.target.Addr).expect("ACL SETUSER default -subscribe", "+OK")
	if err := h.notPrepared(h.tgt); !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("%v", err)
	}
	h.client().expect("PUBLISH a x", ":1")
	if got := c.reply(); got != "*3 $7 message $1 a $1 x" {
		t.Error(got)
	}
	c.nothingMore("*2 $4 pong $0")
}

// With `ack: both` what a session hears may wait behind a reply that waits for the secondary: still in order.
func TestMessagesKeepTheirOrderBehindRepliesThatWait(t *testing.T) {
	h := newHouse(t, true, func(o *Options, _ *ServerOptions) { o.AckBoth = true })
	c, p := h.resp3(), h.client()
	c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
	for n := 1; n <= 6; n++ {
		if err := h.pausedSecondary(n).Pause(); err != nil {
			t.Fatal(err)
		}
		c.send("SET k 1\r\n")
		h.await("its answer waits", func() bool { return h.shard.gates.holds(h.server.byID(1)) })
		p.expect("PUBLISH a x", ":1")
		if err := h.pausedSecondary(n).Continue(); err != nil {
			t.Fatal(err)
		}
		h.swap(h.roles(n))
		p.expect("PUBLISH a y", ":1")
		for _, want := range []string{"+OK", ">3 $7 message $1 a $1 x", ">3 $7 message $1 a $1 y"} {
			if got := c.reply(); got != want {
				t.Fatalf("round %d: %q, want %q", n, got, want)
			}
		}
	}
}

// pausedSecondary is the server that is the secondary before the nth swap.
func (h *house) pausedSecondary(n int) *redisd.Server {
	if n%2 == 1 {
		return h.target
	}
	return h.source
}

// Subscribers of sharded channels, and those in a transaction, move like the others.
func TestAllKindsOfSubscriptionsMoveInATransaction(t *testing.T) {
	h := newHouse(t, true, nil)
	c, p := h.resp3(), h.client()
	for _, sub := range []string{"SSUBSCRIBE s", "SUBSCRIBE a", "PSUBSCRIBE a*"} {
		c.send(sub + "\r\n")
		c.reply()
	}
	for n := 1; n <= 4; n++ {
		c.expect("MULTI", "+OK")
		c.expect("INCR n", "+QUEUED")
		p.expect("PUBLISH ab 0", ":1")
		h.swap(h.roles(n))
		p.expect("SPUBLISH s 1", ":1")
		p.expect("PUBLISH a 2", ":2")
		for _, want := range []string{">4 $8 pmessage $2 a* $2 ab $1 0", ">3 $8 smessage $1 s $1 1", ">3 $7 message $1 a $1 2",
			">4 $8 pmessage $2 a* $1 a $1 2"} {
			if got := c.reply(); got != want {
				t.Fatalf("swap %d: %q, want %q", n, got, want)
			}
		}
		c.expect("INCR n", "+QUEUED")
		c.expect("EXEC", fmt.Sprintf("*2 :%d :%d", 2*n-1, 2*n))
	}
	c.nothingMore("+PONG")
	h.settled()
	h.same()
}

// A primary that is given up cannot be asked what it still had to say: who listened to it is closed, as by a server
// that fails, and the others go on.
func TestWhoListensToAPrimaryThatIsGivenUpIsClosed(t *testing.T) {
	h := newHouse(t, true, nil)
	sub, plain := h.client(), h.client()
	sub.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	plain.expect("SET k 1", "+OK")
	h.settled()
	next, err := h.shard.Prepare(t.Context(), h.tgt, instance.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	e, old := h.shard.NewEffectLane(h.src, instance.Facts{}), h.shard.effects
	h.shard.Hold()
	h.await("ready", next.Ready)
	h.shard.lock()
	h.shard.GiveUp()
	h.shard.Swap(next, e)
	h.shard.unlock()
	h.shard.Release()
	old.Stop()
	e.Start()
	if _, err := sub.r.ReadByte(); err != io.EOF {
		t.Errorf("the subscriber: %v", err)
	}
	plain.expect("GET k", "$1 1")
	again := h.client()
	again.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	plain.expect("PUBLISH a x", ":1")
	if n := h.server.Closed(PrimaryLost); n != 1 {
		t.Errorf("%d were closed", n)
	}
}

// Another user, while subscribed, is another connection to the server: what the session listens to goes on, and what
// it has cached it must forget.
func TestSubscriptionsOutliveAnotherUser(t *testing.T) {
	h := newHouse(t, true, nil)
	for _, s := range []*redisd.Server{h.source, h.target} {
		dial(t, s.Addr).expect("ACL SETUSER other on >pw ~* &* +@all", "+OK")
	}
	c, p := h.resp3(), h.client()
	c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
	c.expect("CLIENT TRACKING ON", "+OK")
	for _, user := range []string{"other pw", "default x", "other pw"} {
		replies := map[string]bool{}
		replies[c.do("AUTH "+user)] = true
		replies[c.reply()] = true
		if !replies["+OK"] || !replies[">2 $10 invalidate _"] {
			t.Fatal(replies)
		}
		p.expect("PUBLISH a x", ":1")
		if got := c.reply(); got != ">3 $7 message $1 a $1 x" {
			t.Fatal(got)
		}
	}
	h.swap(h.tgt, h.src)
	if got := c.reply(); got != ">2 $10 invalidate _" {
		t.Fatal(got)
	}
	c.nothingMore("+PONG")
}

// What breaks between Prepare and the hold is opened again.
func TestALostPreparationIsMadeAgain(t *testing.T) {
	h := newHouse(t, true, nil)
	c, m, p := h.client(), h.client(), h.client()
	c.expect("SUBSCRIBE a", "*3 $9 subscribe $1 a :1")
	m.expect("MONITOR", "+OK")
	next, err := h.shard.Prepare(t.Context(), h.tgt, instance.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	var first []*lane
	h.await("preparations", func() bool {
		for _, b := range next.standbys {
			first = append(first, b.lane)
		}
		return true
	})
	for _, ln := range first {
		dial(t, h.target.Addr).expect(fmt.Sprint("CLIENT KILL ID ", ln.clientID), ":1")
	}
	h.await("the loss is noticed", func() bool { return len(first) == 2 && !first[0].up && !first[1].up })
	e, old := h.shard.NewEffectLane(h.src, instance.Facts{}), h.shard.effects
	e.Start()
	h.shard.Hold()
	h.await("drained", func() bool { return h.shard.Answered() && h.shard.ledger.Drained() && next.Ready() && e.up })
	h.shard.lock()
	h.shard.Swap(next, e)
	h.shard.unlock()
	h.shard.Release()
	old.Stop()
	p.expect("PUBLISH a x", ":1")
	if got := c.reply(); got != "*3 $7 message $1 a $1 x" {
		t.Fatal(got)
	}
	for line := ""; !strings.Contains(line, `"PUBLISH"`); {
		line = m.reply()
	}
}

// A value that a client has asked for before a swap is with it before it is told to forget all.
func TestASwapWaitsForAnswersThatAreHandedOver(t *testing.T) {
	h := newHouse(t, true, nil)
	c := h.resp3()
	c.expect("CLIENT TRACKING ON", "+OK")
	s := h.session()
	h.await("all is answered", h.shard.Answered)
	h.shard.Hold()
	h.shard.lock()
	s.pinned.undelivered.Store(true) // its reader has taken the last reply, and not come to write it out
	if h.shard.Answered() {
		t.Error("roles would change ahead of an answer that is on its way to a client which caches it")
	}
	s.pinned.undelivered.Store(false)
	h.shard.unlock()
	h.await("all is with the client", h.shard.Answered)
	h.shard.Release()
}
