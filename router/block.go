package router

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// Commands that may block: until there is something to take, or until replicas have what was written. A
// connection that others share may not be given one; what this file says of them lets the proxy try a form
// that does not block, and choose the timeout of the one that does.

// blocking says where a command's timeout is, and what can be tried before it blocks.
type blocking struct {
	at      int  // the index of the timeout, from the end if negative; 0: behind the word BLOCK, if that is there
	options int  // where the options among which BLOCK may be begin
	seconds bool // the timeout is in seconds and may have a fraction; else it is in ms
	unknown bool // nothing is known of the timeout
	try     tryFunc
}

// tryFunc writes the form that does not block. The request has its form, and a good timeout.
type tryFunc func(dst []byte, args [][]byte, primary Server) (frame []byte, t *Command, reshape Reshape, ok bool)

// Reshape appends to dst the reply that the blocking command gives, from the reply to the form that does not
// block. served is false, and nothing is appended, when there was nothing to take, or an error: then the
// blocking command must be sent, which will find the same error itself.
type Reshape func(dst, reply []byte) (b []byte, served bool)

// Blocks reports whether this request may block the connection that it is sent on. In a MULTI block none
// does.
func (c *Command) Blocks(args [][]byte) bool {
	switch {
	case c.block == nil || !c.arityOK(len(args)):
		return false
	case c.block.at != 0 || c.block.unknown:
		return true
	}
	for _, word := range args[c.block.options:] {
		switch {
		case equalFold(word, "BLOCK"):
			return true
		case equalFold(word, "STREAMS"):
			return false
		}
	}
	return false
}

// Timeout reads for how long a request that may block does so. forever is true for 0.
//
// ok is false when the request does not block, when it is a learned one, of which that cannot be told, or
// when the server is expected to refuse it; but as versions differ in what they take for a number, all these
// are safe only where they cannot block others.
func (c *Command) Timeout(args [][]byte) (d time.Duration, forever, ok bool) {
	if !c.Blocks(args) || c.block.unknown {
		return 0, false, false
	}
	at, ok := c.timeoutAt(args)
	if !ok {
		return 0, false, false
	}
	ms, ok := parseInt(args[at])
	if c.block.seconds {
		ms, ok = parseSeconds(args[at])
	}
	switch {
	case !ok || ms < 0:
		return 0, false, false
	case ms > int64(math.MaxInt64/time.Millisecond):
		return math.MaxInt64, false, true
	}
	return time.Duration(ms) * time.Millisecond, ms == 0, true
}

// timeoutAt is the index of the timeout.
func (c *Command) timeoutAt(args [][]byte) (int, bool) {
	switch at := c.block.at; {
	case at > 0:
		return at, true
	case at < 0:
		return len(args) + at, true
	}
	o, ok := parseXRead(args, c.block.options)
	return o.blockAt + 1, ok && o.block
}

// parseSeconds reads a number of seconds as ms, rounded up, as C's strtold and then the servers do: decimal
// or hexadecimal, with a fraction and an exponent, without spaces.
func parseSeconds(text []byte) (ms int64, ok bool) {
	s := string(text)
	if strings.ContainsRune(s, '_') {
		return 0, false
	}
	if hex := strings.ContainsAny(s, "xX"); hex && !strings.ContainsAny(s, "pP") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	f = math.Ceil(f * 1000)
	if err != nil || math.IsNaN(f) || f < 0 || f >= math.MaxInt64 {
		return 0, false
	}
	return int64(f), true
}

// WithTimeout appends the request with another timeout to dst. It is rounded up to the next ms, and at least
// one, so that it never comes to mean "for ever". A request that does not block, or whose timeout is not
// known, is appended as it is.
func (c *Command) WithTimeout(dst []byte, args [][]byte, d time.Duration) []byte {
	at := -1
	if c.Blocks(args) && !c.block.unknown {
		if i, ok := c.timeoutAt(args); ok {
			at = i
		}
	}
	dst = appendHeader(dst, len(args))
	for i, a := range args {
		if i != at {
			dst = appendBulk(dst, a)
			continue
		}
		ms := max(int64((d+time.Millisecond-1)/time.Millisecond), 1)
		if c.block.seconds {
			dst = appendBulkString(dst, secondsText(ms))
		} else {
			dst = appendBulk(dst, strconv.AppendInt(nil, ms, 10))
		}
	}
	return dst
}

// secondsText writes ms as seconds. Half a ms more than a fraction makes sure that the servers, of which old
// ones cut off and others round up, do not come to less.
func secondsText(ms int64) string {
	text := strconv.FormatInt(ms/1000, 10)
	if ms%1000 == 0 {
		return text
	}
	fraction := strconv.FormatInt(1000+ms%1000, 10)[1:]
	return text + "." + fraction + "5"
}

// Try appends to dst the request of a form that takes what is there and does not block, in the primary's
// version. t is the command of that form, whose Effect is used; its arguments are those of frame. reshape
// makes its reply the blocking command's; it retains nothing of args.
//
// Its Effect counts even if nothing was served: XREADGROUP may have made a consumer (7.2).
//
// ok is false where there is no such form: with several keys before 7.0, for WAIT and WAITAOF, for an XREAD
// of nothing but what is yet to come, and for a request that the server will refuse.
func (c *Command) Try(dst []byte, args [][]byte, primary Server) (frame []byte, t *Command, reshape Reshape, ok bool) {
	if _, _, good := c.Timeout(args); !good || c.block.try == nil {
		return dst, nil, nil, false
	}
	return c.block.try(dst, args, primary)
}

// LastID is the place of a "$" among the ids of an XREAD that blocks, "what is added from now on", and of
// its key. Both are indices of arguments.
type LastID struct{ Key, ID int }

// Streams returns the places of the "$" of an XREAD that may block. Their moment is that of the request: if
// it is sent twice, or later, they must be made ids first (AppendLastIDRead), or entries that are added in
// between are missed.
func (c *Command) Streams(args [][]byte) (ids []LastID) {
	if c.Name != "XREAD" || !c.Blocks(args) {
		return nil
	}
	o, ok := parseXRead(args, c.block.options)
	if !ok {
		return nil
	}
	for i := range o.count {
		if id := o.first + o.count + i; string(args[id]) == "$" {
			ids = append(ids, LastID{Key: o.first + i, ID: id})
		}
	}
	return ids
}

// AppendLastIDRead appends the read of a stream's last id to dst, as a RESP2 array.
func AppendLastIDRead(dst, key []byte) []byte {
	dst = append(dst, "*3\r\n$5\r\nXINFO\r\n$6\r\nSTREAM\r\n"...)
	return appendBulk(dst, key)
}

// ReadLastID reads the reply to AppendLastIDRead: what a "$" stands for, a part of reply. A stream that is
// not there has "0-0". ok is false for other errors: then the "$" must stay.
func ReadLastID(reply []byte) (id []byte, ok bool) {
	if bytes.HasPrefix(reply, []byte("-ERR no such key")) {
		return []byte(noID), true
	}
	c := walk(reply)
	fields := c.next()
	if isError(reply) || !fields.aggregate() {
		return nil, false
	}
	for i := 0; i+1 < fields.n && c.ok; i += 2 {
		name := c.next().text
		v := c.next()
		if string(name) == "last-generated-id" {
			return v.text, c.ok
		}
		c.rest(v)
	}
	return nil, false
}

// AppendNothingRead appends a read that finds nothing and that the server refuses to whom it would refuse an XREAD of
// the stream.
func AppendNothingRead(dst, key []byte) []byte {
	dst = append(dst, "*4\r\n$5\r\nXREAD\r\n$7\r\nSTREAMS\r\n"...)
	return append(appendBulk(dst, key), "$1\r\n$\r\n"...)
}

// AppendLastEntryRead appends the read of a stream's last entry, which stands for its last id where that is not told:
// there is nothing between the two.
func AppendLastEntryRead(dst, key []byte) []byte {
	dst = append(dst, "*6\r\n$9\r\nXREVRANGE\r\n"...)
	return append(appendBulk(dst, key), "$1\r\n+\r\n$1\r\n-\r\n$5\r\nCOUNT\r\n$1\r\n1\r\n"...)
}

// ReadLastEntry reads the reply to AppendLastEntryRead: the entry's id, a part of reply, and that of no stream or an
// empty one "0-0". ok is false for errors.
func ReadLastEntry(reply []byte) (id []byte, ok bool) {
	c := walk(reply)
	entries := c.next()
	switch {
	case isError(reply) || !entries.aggregate():
		return nil, false
	case entries.n == 0:
		return []byte(noID), true
	}
	entry, id := c.next(), c.next().text
	return id, c.ok && entry.aggregate()
}

// appendHeader appends the head of a request of n arguments.
func appendHeader(dst []byte, n int) []byte {
	dst = strconv.AppendInt(append(dst, '*'), int64(n), 10)
	return append(dst, '\r', '\n')
}
