package demo

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
)

// connect is a connection to db 0 that ends with the test.
func connect(t *testing.T, addr string, db int) rueidis.Client {
	t.Helper()
	client, err := dial(addr, "demo-test", db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// do runs one command that must succeed.
func do(t *testing.T, client rueidis.Client, args ...string) rueidis.RedisResult {
	t.Helper()
	reply := client.Do(t.Context(), client.B().Arbitrary(args...).Build())
	if err := reply.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// busy fills a server and lets clients work on it, until each has done so many rounds.
func busy(t *testing.T, addr string, keys, rounds int) *traffic {
	t.Helper()
	if err := fillSource(t.Context(), addr, keys, func(int) {}); err != nil {
		t.Fatal(err)
	}
	clients, err := newTraffic(addr, 3, keys, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clients.resume(ctx)
	for range rounds / 2 { // a turn is two rounds
		if err := clients.turns(ctx); err != nil {
			t.Fatal(err)
		}
	}
	clients.pause()
	return clients
}

func TestBooksAgreeWithAServerThatLosesNothing(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	// More rounds than a queue, a set and a stream hold, so that every operation has its turn.
	clients := busy(t, server.Addr, MinKeys, 2*streamLength)
	if err := clients.err(); err != nil {
		t.Fatal(err)
	}
	if err := clients.audit(t.Context(), server.Addr); err != nil {
		t.Error(err)
	}
	if clients.commands.Load() < 3*2*streamLength*15 || clients.step.take() <= 0 {
		t.Errorf("%d commands were counted", clients.commands.Load())
	}
	// They may go on where they were.
	clients.resume(t.Context())
	if err := clients.turns(t.Context()); err != nil {
		t.Fatal(err)
	}
	clients.pause()
	if err := clients.audit(t.Context(), server.Addr); err != nil {
		t.Errorf("after going on: %v", err)
	}
}

func TestAuditNoticesEveryLostOrDoubledWrite(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	clients := busy(t, server.Addr, MinKeys, 2*streamLength)
	raw := connect(t, server.Addr, 0)
	own := clients.clients[1].account.prefix
	for name, c := range map[string]struct{ tamper, mend []string }{
		"a counter counted twice":     {[]string{"INCR", own + "counter"}, []string{"DECR", own + "counter"}},
		"an old value":                {[]string{"SETRANGE", own + "last", "0", "9"}, nil},
		"a field counted twice":       {[]string{"HINCRBY", own + "profile", "visits", "3"}, []string{"HINCRBY", own + "profile", "visits", "-3"}},
		"a score counted twice":       {[]string{"ZINCRBY", own + "board", "2", "me"}, []string{"ZINCRBY", own + "board", "-2", "me"}},
		"a push done twice":           {[]string{"RPUSH", own + "queue", "1"}, []string{"RPOP", own + "queue"}},
		"a pop on this server only":   {[]string{"SPOP", own + "set"}, nil},
		"an entry added twice":        {[]string{"XADD", own + "events", "*", "a", "b"}, []string{"XTRIM", own + "events", "MAXLEN", "200"}},
		"half of a transaction":       {[]string{"DECRBY", own + "savings", "5"}, []string{"INCRBY", own + "savings", "5"}},
		"an append done twice":        {[]string{"APPEND", own + "log", "x"}, nil},
		"a counter of the data lost":  {[]string{"DEL", stockKey(1)}, nil},
		"a counter of the data stale": {[]string{"INCRBY", stockKey(4), "3"}, []string{"DECRBY", stockKey(4), "3"}},
	} {
		key := c.tamper[1]
		dump, err := do(t, raw, "DUMP", key).ToString()
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		do(t, raw, c.tamper...)
		if err := clients.audit(t.Context(), server.Addr); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: the audit says %v", name, err)
		}
		if c.mend != nil {
			do(t, raw, c.mend...)
		} else {
			do(t, raw, "RESTORE", key, "0", dump, "REPLACE")
		}
		if err := clients.audit(t.Context(), server.Addr); err != nil {
			t.Fatalf("%s: after it was mended: %v", name, err)
		}
	}
}

func TestClientStopsAtItsFirstWrongReply(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	clients := busy(t, server.Addr, MinKeys, 4)
	do(t, connect(t, server.Addr, 0), "INCR", clients.clients[2].account.prefix+"counter")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clients.resume(ctx)
	err := clients.turns(ctx)
	for err == nil { // until the third client has had its turn
		err = clients.turns(ctx)
	}
	clients.pause()
	if !strings.Contains(err.Error(), "demo-client-2") || !strings.Contains(err.Error(), "INCR") || !strings.Contains(err.Error(), "wrong reply") {
		t.Errorf("the error is %v", err)
	}
}

func TestClientNoticesALostConnection(t *testing.T) {
	server := redisdtest.Start(t, redisd.Options{})
	clients := busy(t, server.Addr, MinKeys, 4)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clients.resume(ctx)
	do(t, connect(t, server.Addr, 0), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	err := clients.turns(ctx)
	for err == nil {
		err = clients.turns(ctx)
	}
	clients.pause()
	if clients.err() == nil || ctx.Err() != nil {
		t.Errorf("a killed connection went unnoticed: %v", err)
	}
}

func TestOlderID(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "1-0", true}, {"1-1", "1-2", true}, {"1-9", "2-0", true}, {"9-0", "10-0", true},
		{"1-1", "1-1", false}, {"2-0", "1-9", false}, {"1-0", "nothing", false}, {"1-0", "", false},
	} {
		if got := olderID(c.a, c.b); got != c.want {
			t.Errorf("%q before %q: %v", c.a, c.b, got)
		}
	}
}
