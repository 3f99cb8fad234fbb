package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCachesAreInvalidatedByASwap(t *testing.T) {
	h := newHouse(t, true, nil)
	three, writer := h.resp3(), h.client()
	listener, reader := h.client(), h.client() // a pair of RESP2
	three.expect("CLIENT TRACKING ON", "+OK")
	id := strings.TrimPrefix(listener.do("CLIENT ID"), ":")
	reader.expect("CLIENT TRACKING ON REDIRECT "+id, "+OK") // before it has subscribed
	listener.expect("SUBSCRIBE __redis__:invalidate", "*3 $9 subscribe $20 __redis__:invalidate :1")
	reader.expect("CLIENT GETREDIR", ":"+id)
	reader.expect("CLIENT TRACKINGINFO", "*6 $5 flags *1 $2 on $8 redirect :"+id+" $8 prefixes *0")
	for n := 1; n <= 4; n++ {
		read := func() {
			t.Helper()
			want := fmt.Sprintf("$1 %d", n-1)
			if n == 1 {
				writer.expect("SET k 0", "+OK")
			}
			three.expect("GET k", want)
			reader.expect("GET k", want)
		}
		read()
		writer.expect(fmt.Sprint("SET k ", n), "+OK")
		if got := three.reply(); got != ">2 $10 invalidate *1 $1 k" {
			t.Fatal(got)
		}
		if got := listener.reply(); got != "*3 $7 message $20 __redis__:invalidate *1 $1 k" {
			t.Fatal(got)
		}
		h.swap(h.roles(n))
		if got := three.reply(); got != ">2 $10 invalidate _" {
			t.Fatal(got)
		}
		if got := listener.reply(); got != "*3 $7 message $20 __redis__:invalidate $-1" {
			t.Fatal(got)
		}
		three.nothingMore("+PONG")
		reader.expect("CLIENT GETREDIR", ":"+id)
	}
	// The one that is redirected to goes, and a swap follows.
	_ = listener.Close()
	h.await("it has gone", func() bool { return h.server.Sessions() == 3 })
	h.swap(h.roles(5))
	reader.expect("GET k", "$1 4")
}

func TestCachingHoldsForTheNextCommandOnAnotherPrimary(t *testing.T) {
	h := newHouse(t, true, nil)
	c, writer := h.resp3(), h.client()
	c.expect("CLIENT TRACKING ON OPTIN", "+OK")
	c.expect("GET a", "_")
	c.expect("CLIENT CACHING YES", "+OK")
	h.swap(h.tgt, h.src)
	if got := c.reply(); got != ">2 $10 invalidate _" {
		t.Fatal(got)
	}
	c.expect("GET k", "_")
	c.expect("GET other", "_")
	writer.expect("SET other 1", "+OK")
	writer.expect("SET k 1", "+OK")
	if got := c.reply(); got != ">2 $10 invalidate *1 $1 k" {
		t.Fatal(got)
	}
	c.nothingMore("+PONG")
}

// CLIENT CACHING in front of MULTI holds for all of the transaction, and is no part of it on another primary either;
// nor where the transaction is begun anew, on the lane of one who listens, to learn that all has been said there.
func TestCachingHoldsForATransactionOnAnotherPrimary(t *testing.T) {
	for _, listens := range []bool{false, true} {
		h := newHouse(t, true, nil)
		c, writer := h.resp3(), h.client()
		c.expect("CLIENT TRACKING ON OPTIN", "+OK")
		if listens {
			c.expect("SUBSCRIBE a", ">3 $9 subscribe $1 a :1")
		}
		c.expect("CLIENT CACHING YES", "+OK")
		c.expect("MULTI", "+OK")
		c.expect("PTTL k", "+QUEUED")
		h.swap(h.tgt, h.src)
		if got := c.reply(); got != ">2 $10 invalidate _" {
			t.Fatal(got)
		}
		c.expect("GET k", "+QUEUED")
		c.expect("EXEC", "*2 :-2 _")
		writer.expect("SET k 1", "+OK")
		if got := c.reply(); got != ">2 $10 invalidate *1 $1 k" {
			t.Fatal(got)
		}
		c.expect("CLIENT CACHING YES", "+OK")
		c.expect("MULTI", "+OK")
		c.expect("GET k", "+QUEUED")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		h.shard.Hold() // and the cutover is given up
		if err := h.shard.Await(ctx, h.shard.Answered); err != nil {
			t.Fatal(err)
		}
		h.shard.Release()
		c.expect("EXEC", "*1 $1 1")
		writer.expect("SET k 2", "+OK")
		if got := c.reply(); got != ">2 $10 invalidate *1 $1 k" {
			t.Fatal(got)
		}
	}
}
