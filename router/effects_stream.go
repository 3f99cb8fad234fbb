package router

import "bytes"

// The effects of the stream commands. Ids that the primary made are in the reply; an approximate trimming
// becomes an exact one to the length that the follow-up tells; what a group reads is read again on the
// secondary, and claims name the ids that were claimed.

// streamTrim is the trimming clause of XADD and XTRIM.
type streamTrim struct {
	start, end int  // the clause without LIMIT, as argument indices; empty without one
	approx     bool // "~": the server decides how many entries go
	minid      bool
}

// xaddOptions are those of XADD key [...] id field value ..., and without id of XTRIM.
type xaddOptions struct {
	nomkstream bool
	trim       streamTrim
	refs       []byte // DELREF or ACKED: what becomes of the groups' references to entries trimmed
	idempotent bool   // IDMP or IDMPAUTO
	id         int    // the argument index of the id
}

// parseXAdd reads the options from args[2] on, until the id.
func parseXAdd(args [][]byte) (o xaddOptions) {
	i := 2
	for i < len(args) {
		left := len(args) - i - 1
		switch word := args[i]; {
		case equalFold(word, "NOMKSTREAM"):
			o.nomkstream = true
		case equalFold(word, "KEEPREF"): // what every server does that knows no such option
		case equalFold(word, "DELREF"), equalFold(word, "ACKED"):
			o.refs = word
		case (equalFold(word, "MAXLEN") || equalFold(word, "MINID")) && left > 0:
			o.trim.start = i
			o.trim.minid = len(word) == len("MINID")
			i++
			if s := string(args[i]); (s == "~" || s == "=") && left > 1 {
				o.trim.approx = s == "~"
				i++
			}
			o.trim.end = i + 1
		case equalFold(word, "LIMIT") && left > 0:
			i++
		case equalFold(word, "IDMPAUTO") && left > 0:
			o.idempotent = true
			i++
		case equalFold(word, "IDMP") && left > 1:
			o.idempotent = true
			i += 2
		default:
			o.id = i
			return o
		}
		i++
	}
	return o
}

// complete reports whether an id, and not an option that is not known here, ended the options of XADD, and
// pairs of field and value follow it.
func (o *xaddOptions) complete(args [][]byte) bool {
	left := len(args) - o.id - 1
	if o.id == 0 || left < 2 || left%2 != 0 || len(args[o.id]) == 0 {
		return false
	}
	first := args[o.id][0]
	return string(args[o.id]) == "*" || first >= '0' && first <= '9'
}

// portable reports whether the trimming can be repeated on the secondary; to what length it came, n, is
// known only with a follow-up (else -1).
func (o *xaddOptions) portable(env *Env, n int64) bool {
	switch {
	case o.refs != nil && !redis82.in(env.Secondary):
		return false
	case o.trim.approx:
		return n >= 0 && !equalFold(o.refs, "ACKED") // ACKED leaves gaps, which no length tells
	case o.trim.minid:
		return redis62.in(env.Secondary)
	}
	return true
}

// size is the number of arguments that argTrim writes.
func (o *xaddOptions) size() (n int) {
	if o.trim.end > 0 {
		n = o.trim.end - o.trim.start
	}
	if o.refs != nil {
		n++
	}
	return n
}

// argTrim writes the trimming, exact: as it was given, or to the length it came to.
func (e *Effect) argTrim(args [][]byte, o *xaddOptions, length int64) {
	if o.refs != nil {
		e.arg(o.refs)
	}
	if !o.trim.approx {
		e.argAll(args[o.trim.start:o.trim.end])
		return
	}
	e.argText("MAXLEN")
	e.argText("=")
	e.argInt(length)
}

// followedLength reads a reply to XLEN, or returns -1.
func followedLength(follow [][]byte) int64 {
	if len(follow) == 1 {
		if n, ok := replyInt(follow[0]); ok {
			return n
		}
	}
	return -1
}

// trimFollows asks for the length that an approximate trimming came to.
func trimFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	if o := parseXAdd(args); !o.trim.approx {
		return dst, 0
	}
	return appendRead(dst, "XLEN", args[1]), 1
}

// hugeEntry is the size above which a server refuses an entry, but only after it has made the stream.
const hugeEntry = 1 << 30

func xaddEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	if isError(reply) {
		size := 0
		for _, a := range args {
			size += len(a)
		}
		if size >= hugeEntry {
			e.copy()
		}
		return
	}
	id, null, ok := replyText(reply)
	if ok && null {
		return
	}
	o := parseXAdd(args)
	length := followedLength(follow)
	if !ok || !o.complete(args) || o.idempotent || !o.portable(env, length) {
		e.copy()
		return
	}
	if !o.nomkstream && o.size() == 0 && bytes.Equal(id, args[o.id]) && o.id == 2 {
		e.forward(ExpectSame(reply))
		return
	}
	nomkstream := o.nomkstream && redis62.in(env.Secondary)
	n := 2 + o.size() + len(args) - o.id
	if nomkstream {
		n++
	}
	e.begin(n, "XADD", ExpectSame(reply))
	e.arg(args[1])
	if nomkstream {
		e.argText("NOMKSTREAM")
	}
	e.argTrim(args, &o, length)
	e.arg(id)
	e.argAll(args[o.id+1:])
}

func xtrimEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	n, ok := replyInt(reply)
	if ok && n == 0 {
		return
	}
	o := parseXAdd(args)
	length := followedLength(follow)
	switch {
	case !ok || o.id != 0 || !o.portable(env, length):
		e.copy()
	case !o.trim.approx:
		e.forward(ExpectInt(n))
	default:
		e.begin(2+o.size(), "XTRIM", ExpectInt(n))
		e.arg(args[1])
		e.argTrim(args, &o, length)
	}
}

// forwardUnlessOption is forwardOK for a command of which option came with 7.0 and an older secondary does
// not know the state that it sets.
func forwardUnlessOption(options ...string) effectFunc {
	return func(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
		if !redis70.in(env.Secondary) {
			for _, a := range args[3:] {
				for _, o := range options {
					if equalFold(a, o) {
						e.copy()
						return
					}
				}
			}
		}
		forwardOK(e, env, args, reply, follow)
	}
}
