package proxy

import (
	"fmt"
	"testing"

	"tandem/internal/redisd"
)

// What we do is not taken for what others do, whatever it is reported as: by lanes of several databases to keys of one
// name, on lanes of sessions' own, by commands that are served while they block, by scripts. What others do is.
func TestOurWritesAreNotCountedAsThoseOfOthers(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfNewcomers, nil)
	others := func() uint64 {
		h.read()
		return h.tracking().Others
	}
	own, blocks := h.client(), h.client()
	for i := range 20 {
		for db := range 3 {
			c := h.client()
			c.do(fmt.Sprint("SELECT ", db))
			if i%2 == 0 {
				c.do("HELLO 3")
			}
			c.expect(fmt.Sprint("SET k", i, " ", db), "+OK")
			c.expect(fmt.Sprint("APPEND k", i, " x"), ":2")
			c.expect("MULTI", "+OK")
			c.expect("INCR n", "+QUEUED")
			c.expect("EXEC", fmt.Sprintf("*1 :%d", i+1))
		}
		blocks.send("*6\r\n$6\r\nBLMOVE\r\n$1\r\nq\r\n$4\r\ndone\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n$1\r\n0\r\n")
		h.await("it blocks", func() bool { return h.shard.ledger.Blocking() == 1 })
		own.expect(fmt.Sprint("RPUSH q ", i), ":1")
		if got := blocks.reply(); got != fmt.Sprintf("$%d %d", len(fmt.Sprint(i)), i) {
			t.Fatal(got)
		}
		own.expect(fmt.Sprint("RPUSH done x", i), fmt.Sprint(":", 2*(i+1)))
	}
	if n := others(); n != 0 {
		t.Errorf("%d of our own writes were counted as those of others", n)
	}
	other := dial(t, h.source.Addr)
	other.expect("SET theirs 1", "+OK")
	other.expect("RPUSH q 1", ":1")
	if n := others(); n < 1 {
		t.Errorf("%d writes by others were counted", n)
	}
}

// The first writes to a database are ours as well, though its lane is new: their reports come on the feeds of the lanes that own
// keys of the same names elsewhere.
func TestOurFirstWritesToADatabaseAreNotCountedAsThoseOfOthers(t *testing.T) {
	h := tracked(t, redisd.Options{}, OfNewcomers, nil)
	c := h.client()
	c.expect("SET k 0", "+OK")
	h.read()
	for db := 1; db < 16; db++ {
		c := h.client()
		c.expect(fmt.Sprint("SELECT ", db), "+OK")
		c.expect(fmt.Sprint("SET k ", db), "+OK")
	}
	h.read()
	if n := h.tracking().Others; n != 0 {
		t.Errorf("%d of our own writes were counted as those of others", n)
	}
}
