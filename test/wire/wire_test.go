package wire_test

import (
	"strings"
	"testing"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/wire"
)

func TestRepliesOfARealServer(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	c, err := wire.Dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	replies, err := c.DoMany([][]string{
		{"SET", "k", "a\r\nb\x00"}, {"GET", "k"}, {"GET", "none"}, {"INCR", "n"}, {"INCR", "k"},
		{"RPUSH", "l", "x", ""}, {"LRANGE", "l", "0", "-1"}, {"HELLO", "3"}, {"HGETALL", "none"}, {"GET", "none"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"+OK", `"a\r\nb\x00"`, "nil", "1", "-ERR value is not an integer or out of range",
		"2", `["x" ""]`, `["server" "redis"`, "[]", "nil"} {
		if got := replies[i].String(); !strings.HasPrefix(got, want) {
			t.Errorf("reply %d is %s, want %s", i, got, want)
		}
	}
	if proto, _ := replies[7].Field("proto"); proto.Int != 3 {
		t.Errorf("proto of HELLO is %s", proto)
	}
	if _, err := c.Do("INCR", "k"); err == nil || !strings.HasPrefix(err.Error(), "ERR value") {
		t.Errorf("error reply as error: %v", err)
	}
}

func TestDigestTellsBigValuesApart(t *testing.T) {
	s := redisdtest.Start(t, redisd.Options{})
	c, err := wire.Dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := strings.Repeat("0123456789", 50_000)
	for key, value := range map[string]string{"a": big, "same": big, "bit": big[:300_000] + "x" + big[300_001:], "tail": big[:499_999] + "x"} {
		if _, err := c.Do("SET", key, value); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(key string, tail int64) wire.Digest {
		c.Send("GET", key)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		d, err := c.ReceiveDigest(tail)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := digest("a", 0)
	if a.Len != 500_000 || a != digest("same", 0) {
		t.Errorf("equal values: %v and %v", a, digest("same", 0))
	}
	for _, key := range []string{"bit", "tail"} {
		if a == digest(key, 0) {
			t.Errorf("%s has the digest of a", key)
		}
	}
	if digest("a", 1) != digest("tail", 1) {
		t.Error("the tail was not left out")
	}
	if !digest("none", 0).Null {
		t.Error("a missing key is not null")
	}
	if _, err := c.Do("PING"); err != nil {
		t.Errorf("connection after digests: %v", err)
	}
}
