package load

import (
	"fmt"
	"strconv"
	"strings"

	"tandem/test/wire"
)

// The operations on the client's stream and its one consumer group.

// xadd adds an entry under an id of the server's choice, which must be above the last one: also across a
// cutover, where another server's clock chooses. The first one of a life makes the group before it.
func (o *own) xadd() {
	key := o.key("stream")
	if !o.grouped {
		o.grouped = true
		o.emit(isOK, "XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
	}
	o.emit(func(r wire.Reply) string {
		if r.Kind != '$' || !idAfter(r.Str, o.lastID) {
			return "an id above " + o.lastID
		}
		o.lastID = r.Str
		o.unread = append(o.unread, r.Str)
		o.entries = min(o.entries+1, streamMax)
		return ""
	}, "XADD", key, "MAXLEN", strconv.Itoa(streamMax), "*", "v", o.next())
}

// xreadgroup takes the next entries, in their order. It empties a queue that is about to be trimmed.
func (o *own) xreadgroup() {
	if !o.grouped {
		return
	}
	const n = 10
	o.emit(func(r wire.Reply) string {
		want := o.unread[:min(n, len(o.unread))]
		o.unread = o.unread[len(want):]
		var got []string
		if len(r.Elems) == 1 && len(r.Elems[0].Elems) == 2 {
			for _, e := range r.Elems[0].Elems[1].Elems {
				got = append(got, e.Elems[0].Str)
			}
		}
		o.pending = append(o.pending, got...)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Sprintf("entries %v", want)
		}
		return ""
	}, "XREADGROUP", "GROUP", "g", "c"+strconv.Itoa(o.c.rand.IntN(2)), "COUNT", strconv.Itoa(n), "STREAMS", o.key("stream"), ">")
}

// xack acknowledges what earlier pipelines delivered, and leaves a few entries pending.
func (o *own) xack() {
	n := len(o.pending) - o.c.rand.IntN(5)
	if n <= 0 {
		return
	}
	args := append([]string{"XACK", o.key("stream"), "g"}, o.pending[:n]...)
	o.pending = o.pending[n:]
	o.emit(func(r wire.Reply) string { return isInt(r, n) }, args...)
}

func (o *own) xlen() {
	o.emit(func(r wire.Reply) string { return isInt(r, o.entries) }, "XLEN", o.key("stream"))
}

// idAfter compares stream ids; "" is before all.
func idAfter(id, last string) bool {
	var a, b [2]uint64
	if n, _ := fmt.Sscanf(id, "%d-%d", &a[0], &a[1]); n != 2 {
		return false
	}
	fmt.Sscanf(last, "%d-%d", &b[0], &b[1])
	return a[0] > b[0] || a[0] == b[0] && a[1] > b[1]
}
