package proxy

import (
	"bufio"
	"bytes"
	"strconv"
	"testing"

	"tandem/internal/resp"
)

// FuzzCursor: a cursor that the primary gave comes back to it as it was, in its own epoch, and as the first one in any
// other; a client that makes one up harms nobody but itself.
func FuzzCursor(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\n0\r\n*0\r\n"), "0", uint16(1))
	f.Add([]byte("*2\r\n$4\r\n1234\r\n*1\r\n$1\r\nk\r\n"), "281474976711890", uint16(1))
	f.Add([]byte("*2\r\n$20\r\n18446744073709551615\r\n*0\r\n"), "18446744073709551615", uint16(32767))
	f.Add([]byte("*2\r\n$-1\r\n*0\r\n"), "-1", uint16(2))
	f.Add([]byte("*2\r\n$99999\r\n1"), "+1", uint16(2))
	f.Add([]byte("*2\r\n$?\r\n;1\r\n7\r\n;0\r\n*0\r\n"), "007", uint16(2))
	f.Fuzz(func(t *testing.T, reply []byte, made string, epoch16 uint16) {
		epoch := int(epoch16 & 0x7fff)
		if epoch == 0 {
			return
		}
		tagged := tagCursor(bytes.Clone(reply), epoch)
		// What a client makes of the answer, it sends.
		v, _, err := resp.Parse(tagged)
		if was, _, e := resp.Parse(reply); (err == nil) != (e == nil) {
			t.Fatalf("%q: %v, tagged %q: %v", reply, e, tagged, err)
		} else if err == nil && len(was.Elems) == 2 {
			cursor, e := strconv.ParseUint(string(was.Elems[0].Str), 10, 64)
			if e == nil && cursor < 1<<epochShift && was.Elems[0].Kind == '$' && was.Kind == '*' {
				want := strconv.FormatUint(cursor, 10)
				if got := sentCursor(t, string(v.Elems[0].Str), epoch); got != want && string(was.Elems[0].Str) != got {
					t.Fatalf("cursor %s came back as %s", want, got)
				}
				if got := sentCursor(t, string(v.Elems[0].Str), epoch+1); cursor != 0 && got != "0" {
					t.Fatalf("a cursor of an older epoch is sent as %s", got)
				}
			}
		}
		sentCursor(t, made, epoch)
	})
}

// sentCursor is the cursor that the primary gets of the one that a client sends.
func sentCursor(t *testing.T, cursor string, epoch int) string {
	raw := resp.AppendCommand(nil, "SCAN", cursor, "COUNT", "10")
	args := resp.Args(plainCursor(raw, resp.Args(raw, nil), 1, epoch), nil)
	if len(args) != 4 || string(args[0]) != "SCAN" || string(args[3]) != "10" {
		t.Fatalf("%q became %q", raw, args)
	}
	return string(args[1])
}

// FuzzReplies looks at a server's reply in every way in which one is read without being decoded.
func FuzzReplies(f *testing.F) {
	for _, reply := range []string{
		"%2\r\n$2\r\nid\r\n:7\r\n$5\r\nproto\r\n:3\r\n", "*4\r\n$2\r\nid\r\n:7\r\n$5\r\nproto\r\n:2\r\n", "*1\r\n$8\r\n$2\r\nid\r\n\r\n",
		"*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", ">2\r\n$10\r\ninvalidate\r\n_\r\n", ">0\r\n", "*0\r\n", "*-1\r\n",
		">1\r\n*0\r\n", "+1700000000.123456 [0 127.0.0.1:1] \"SET\"\r\n", "+.[\r\n", "+\r\n", "-\r\n", "*3\r\n+OK\r\n>1\r\n+x\r\n:1\r\n", "|1\r\n+a\r\n+b\r\n*1\r\n:1\r\n",
	} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		var framer resp.Framer
		n, done, err := framer.Feed(reply)
		if !done || err != nil || n != len(reply) {
			return // a lane hands over whole replies only
		}
		if elements, ok := splitArray(reply, 2); ok && len(elements) != 2 {
			t.Fatalf("%q has %d elements", reply, len(elements))
		}
		messageKind(reply)
		isMonitorLine(reply)
		leftOpen(reply)
		withID(reply, 9)
		replyText(reply)
		text(reply)
		cursorOf := tagCursor(bytes.Clone(reply), 1)
		if _, _, err := resp.Parse(reply); err == nil {
			if _, n, err := resp.Parse(cursorOf); err != nil || n != len(cursorOf) {
				t.Fatalf("%q became %q: %v", reply, cursorOf, err)
			}
		}
		for _, pinned := range []bool{false, true} {
			ln := &lane{pinned: pinned, listening: pinned, monitoring: pinned}
			ln.unasked(reply)
		}
		// Of a feed, with what is behind the head.
		r := bufio.NewReader(bytes.NewReader(reply))
		if _, err := header(r, '*'); err == nil {
			_, _ = shortString(r)
		}
	})
}
