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

// at is the delivery time that the claim sets, Unix ms; ok is false when it cannot be told.
func (o *claimOptions) at(env *Env) (int64, bool) {
	switch {
	case o.idle != nil:
		idle, ok := parseInt(o.idle)
		return env.Now - idle, ok && env.Now > 0
	case o.time != nil:
		return parseInt(o.time)
	}
	return env.Now, env.Now > 0
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

func xclaimEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	o, ok := parseXClaim(args)
	at, okAt := o.at(env)
	claimed := 0
	known := claimedIDs(reply, func([]byte) { claimed++ })
	if !ok || !okAt || !known {
		e.copy()
		return
	}
	if claimed == 0 && o.lastID == nil && !redis70.in(env.Primary) {
		return // nothing was made or dropped
	}
	if claimed < len(o.ids) && redis70.in(env.Primary) && !redis70.in(env.Secondary) {
		e.copy() // it may have dropped some, which nothing tells, and the secondary keeps those
		return
	}
	if claimed > 0 {
		if claimed < len(o.ids) {
			e.unclaimed(env, args, &o, reply, claimed)
		}
		e.claim(args, claimed, &o, ExpectSame(reply))
		claimedIDs(reply, e.arg)
		e.claimEnd(&o, at)
		return
	}
	e.claimedNone(env, args, &o, reply, follow)
}

// claimedNone writes the effect of an XCLAIM that has claimed nothing. From 7.2 on it makes the consumer all
// the same, which must then be there on the secondary if and only if it is on the primary.
func (e *Effect) claimedNone(env *Env, args [][]byte, o *claimOptions, reply []byte, follow [][]byte) {
	made, makes := env.Primary.HasEmptyConsumers(), env.Secondary.HasEmptyConsumers()
	if made && !makes && !e.createConsumer(env, args) || !made && makes && len(follow) != 1 {
		e.copy()
		return
	}
	e.unclaimed(env, args, o, reply, 0)
	if !made && makes && !hasConsumer(follow[0], args[3]) {
		e.begin(5, "XGROUP", ExpectInt(0))
		e.argText("DELCONSUMER")
		e.argAll(args[1:4])
	}
}

// unclaimed does on the secondary what XCLAIM did besides claiming: from 7.0 on it dropped ids whose entries
// are no more, and it sets the group's last id in any case.
func (e *Effect) unclaimed(env *Env, args [][]byte, o *claimOptions, reply []byte, claimed int) {
	drops := redis70.in(env.Primary)
	if !drops && claimed > 0 {
		return
	}
	left := 1
	if drops {
		left = leftIDs(o.ids, reply, nil)
	}
	if o.lastID != nil {
		e.claimNothing(args, left+2)
	} else {
		e.claimNothing(args, left)
	}
	if drops {
		leftIDs(o.ids, reply, e.arg)
	} else {
		e.argText(noID)
	}
	if o.lastID != nil {
		e.argText("LASTID")
		e.arg(o.lastID)
	}
	e.argText("JUSTID")
}

// noID is the id that no entry can have.
const noID = "0-0"

// claimNothing begins an XCLAIM of n ids that claims none, for nothing was ever idle for so long. But it
// drops those whose entries are no more (7.0), makes the consumer and notes that it was seen (7.2). The ids,
// other options (counted in n) and JUSTID must follow.
func (e *Effect) claimNothing(args [][]byte, n int) {
	e.begin(6+n, "XCLAIM", ExpectAny())
	e.arg(args[1])
	e.arg(args[2])
	e.arg(args[3])
	e.argText("9223372036854775807")
}

// createConsumer makes the consumer of args[3] on a secondary that does so only when it is told to.
func (e *Effect) createConsumer(env *Env, args [][]byte) bool {
	if !redis62.in(env.Secondary) {
		e.copy()
		return false
	}
	e.begin(5, "XGROUP", ExpectAny())
	e.argText("CREATECONSUMER")
	e.argAll(args[1:4])
	return true
}

// xclaimFollows asks whether the consumer is there, where XCLAIM drops entries but does not make it: 7.0.
func xclaimFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if !redis70.in(primary) || primary.HasEmptyConsumers() {
		return dst, 0
	}
	dst = append(dst, "*4\r\n$5\r\nXINFO\r\n$9\r\nCONSUMERS\r\n"...)
	return appendBulk(appendBulk(dst, args[1]), args[2]), 1
}

// hasConsumer reports whether a reply to XINFO CONSUMERS names a consumer.
func hasConsumer(reply, name []byte) bool {
	c := walk(reply)
	for range c.next().n {
		fields := c.next()
		for i := 0; i+1 < fields.n && c.ok; i += 2 {
			field, v := c.next().text, c.next()
			if string(field) == "name" && bytes.Equal(v.text, name) {
				return true
			}
		}
	}
	return false
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
	} else if env.Primary.HasEmptyConsumers() && !e.consumerSeen(env, args) {
		return
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

// consumerSeen makes the consumer on the secondary, and where that is kept notes that it was seen: by a claim
// of an id that no entry has.
func (e *Effect) consumerSeen(env *Env, args [][]byte) bool {
	if !env.Secondary.HasEmptyConsumers() {
		return e.createConsumer(env, args)
	}
	e.claimNothing(args, 1)
	e.argText(noID)
	e.argText("JUSTID")
	return true
}
