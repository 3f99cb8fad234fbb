package router

import "bytes"

// The effects of XCLAIM and XAUTOCLAIM: a claim of the ids that were claimed, whatever their idle time is on
// the secondary, with the time at which the primary did it.

// claimOptions are those of XCLAIM key group consumer min-idle-time id ... [...].
type claimOptions struct {
	ids        [][]byte
	idle, time []byte // the arguments of IDLE and TIME, or nil
	retry      []byte // of RETRYCOUNT
	lastID     []byte // of LASTID
	force      bool
	justID     bool
}

func parseXClaim(args [][]byte) (o claimOptions, ok bool) {
	i := 5
	for i < len(args) && isStreamID(args[i]) {
		i++
	}
	o.ids = args[5:i]
	for ; i < len(args); i++ {
		more := i+1 < len(args)
		switch word := args[i]; {
		case equalFold(word, "FORCE"):
			o.force = true
			continue
		case equalFold(word, "JUSTID"):
			o.justID = true
			continue
		case equalFold(word, "IDLE") && more:
			o.idle, o.time = args[i+1], nil
		case equalFold(word, "TIME") && more:
			o.time, o.idle = args[i+1], nil
		case equalFold(word, "RETRYCOUNT") && more:
			o.retry = args[i+1]
		case equalFold(word, "LASTID") && more:
			o.lastID = args[i+1]
		default:
			return o, false
		}
		i++
	}
	return o, len(o.ids) > 0
}

// isStreamID reports whether an argument of XCLAIM is an id and not the first option, which begins with a
// letter.
func isStreamID(arg []byte) bool {
	return len(arg) > 0 && (upper[arg[0]] < 'A' || upper[arg[0]] > 'Z')
}

// at is the delivery time that the claim sets, Unix ms.
func (o *claimOptions) at(env *Env) (int64, bool) {
	switch {
	case o.idle != nil:
		idle, ok := parseInt(o.idle)
		return env.Now - idle, ok
	case o.time != nil:
		return parseInt(o.time)
	}
	return env.Now, true
}

// claim begins an XCLAIM of n ids; the ids must follow, then claimEnd.
func (e *Effect) claim(args [][]byte, n int, o *claimOptions, x Expect) {
	size := 7 + n
	for _, option := range [...][]byte{o.retry, o.lastID} {
		if option != nil {
			size += 2
		}
	}
	if o.force {
		size++
	}
	if o.justID {
		size++
	}
	e.begin(size, "XCLAIM", x)
	e.arg(args[1])
	e.arg(args[2])
	e.arg(args[3])
	e.argText("0")
}

func (e *Effect) claimEnd(o *claimOptions, at int64) {
	e.argText("TIME")
	e.argInt(at)
	if o.retry != nil {
		e.argText("RETRYCOUNT")
		e.arg(o.retry)
	}
	if o.force {
		e.argText("FORCE")
	}
	if o.justID {
		e.argText("JUSTID")
	}
	if o.lastID != nil {
		e.argText("LASTID")
		e.arg(o.lastID)
	}
}

// claimedIDs calls do with each id of a claim's reply: an array of ids (JUSTID) or of [id, fields]. It
// reports whether the reply tells them all: before 7.0 an entry that is no more is a null.
func claimedIDs(reply []byte, do func(id []byte)) bool {
	c := walk(reply)
	list := c.next()
	if !list.aggregate() {
		return false
	}
	for range list.n {
		v := c.next()
		switch {
		case !c.ok || v.null():
			return false
		case !v.aggregate():
			do(v.text)
			continue
		}
		do(c.next().text)
		fields := c.next()
		c.rest(fields)
		if !c.ok || fields.null() {
			return false
		}
	}
	return c.ok
}

func xclaimEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	o, ok := parseXClaim(args)
	at, okAt := o.at(env)
	claimed := 0
	known := claimedIDs(reply, func([]byte) { claimed++ })
	if !ok || !okAt || !known {
		e.copy()
		return
	}
	left := leftIDs(o.ids, reply, nil)
	if !e.claimant(env, args, claimed) {
		return
	}
	if left > 0 {
		// What was not claimed may have been dropped, for its entry is no more (7.0).
		e.begin(6+left, "XCLAIM", ExpectAny())
		e.arg(args[1])
		e.arg(args[2])
		e.arg(args[3])
		e.argText("9223372036854775807")
		leftIDs(o.ids, reply, e.arg)
		e.argText("JUSTID")
	}
	if claimed > 0 {
		e.claim(args, claimed, &o, ExpectSame(reply))
		claimedIDs(reply, e.arg)
		e.claimEnd(&o, at)
	}
}

// leftIDs calls do, if it is not nil, with each id asked for that is not in the reply, and counts them. A
// reply has its ids in the order in which they were asked for.
func leftIDs(ids [][]byte, reply []byte, do func(id []byte)) (n int) {
	next := 0
	left := func(until int) {
		for ; next < until; next++ {
			if do != nil {
				do(ids[next])
			}
			n++
		}
	}
	claimedIDs(reply, func(got []byte) {
		for i := next; i < len(ids); i++ {
			if sameID(ids[i], got) {
				left(i)
				next = i + 1
				return
			}
		}
	})
	left(len(ids))
	return n
}

// sameID compares an id as a client wrote it, perhaps without its second half, with one as a server does.
func sameID(asked, got []byte) bool {
	if bytes.IndexByte(asked, '-') >= 0 {
		return bytes.Equal(asked, got)
	}
	ms, isZero := bytes.CutSuffix(got, []byte("-0"))
	return isZero && bytes.Equal(asked, ms)
}

// claimant sees to it that the consumer is there as on the primary: from 7.2 on a claim makes it even when
// there was nothing to claim. It returns false when no effect is left to write.
func (e *Effect) claimant(env *Env, args [][]byte, claimed int) bool {
	if claimed > 0 {
		return true
	}
	switch {
	case env.Primary.HasEmptyConsumers() == env.Secondary.HasEmptyConsumers():
		return true
	case env.Primary.HasEmptyConsumers() && redis62.in(env.Secondary):
		e.begin(5, "XGROUP", ExpectAny())
		e.argText("CREATECONSUMER")
		e.argAll(args[1:4])
		return true
	}
	e.copy()
	return false
}

// xautoclaimEffect: XAUTOCLAIM key group consumer min-idle start [COUNT n] [JUSTID] answers [cursor, claimed,
// dropped]; before 7.0 there is no third and a dropped entry is a null.
func xautoclaimEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	c := walk(reply)
	parts := c.next()
	c.skip() // the cursor
	entries := c.b
	claimed := 0
	if !parts.aggregate() || parts.n < 2 || !claimedIDs(entries, func([]byte) { claimed++ }) {
		e.copy()
		return
	}
	c.skip()
	dropped := 0
	if parts.n > 2 {
		dropped = leaves(c.b)
	}
	var o claimOptions
	for _, a := range args[6:] {
		o.justID = o.justID || equalFold(a, "JUSTID")
	}
	if claimed > 0 {
		e.claim(args, claimed, &o, ExpectSame(entries[:len(entries)-len(c.b)]))
		claimedIDs(entries, e.arg)
		e.claimEnd(&o, env.Now)
	} else if env.Primary.HasEmptyConsumers() {
		if !redis62.in(env.Secondary) {
			e.copy()
			return
		}
		e.begin(5, "XGROUP", ExpectAny())
		e.argText("CREATECONSUMER")
		e.argAll(args[1:4])
	}
	if dropped > 0 {
		e.begin(3+dropped, "XACK", ExpectInt(int64(dropped)))
		e.arg(args[1])
		e.arg(args[2])
		for range dropped {
			e.arg(c.leaf().text)
		}
	}
}
