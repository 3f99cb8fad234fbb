package router

import "bytes"

// The effects of reading for a group of consumers, which moves the group and makes entries pending.

// xreadOptions are those of XREAD and XREADGROUP.
type xreadOptions struct {
	block, claim, noack bool
	blockAt             int // the argument index of BLOCK
	first, count        int // the keys; as many ids follow
}

// parseXRead reads the options from args[i] on.
func parseXRead(args [][]byte, i int) (o xreadOptions, ok bool) {
	for ; i < len(args); i++ {
		switch word := args[i]; {
		case equalFold(word, "COUNT"):
			i++
		case equalFold(word, "BLOCK"):
			o.block, o.blockAt = true, i
			i++
		case equalFold(word, "CLAIM"):
			o.claim = true
			i++
		case equalFold(word, "NOACK"):
			o.noack = true
		case equalFold(word, "STREAMS"):
			o.first = i + 1
			o.count = (len(args) - o.first) / 2
			return o, o.count > 0 && (len(args)-o.first)%2 == 0
		default:
			return o, false
		}
	}
	return o, false
}

// xreadgroupEffect reads the same on the secondary, where the state of the group is the same, and then puts
// the delivery times right. It works for new entries (">") and for a consumer's own (an id) alike.
//
// A stream that had nothing is not in the reply. From 7.2 on its group has the consumer all the same.
func xreadgroupEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	o, ok := parseXRead(args, 4)
	streams, okStreams := readStreams(reply)
	if !ok || !okStreams || o.claim {
		e.copy()
		return
	}
	made, makes := env.Primary.HasEmptyConsumers(), env.Secondary.HasEmptyConsumers()
	switch {
	case streams == 0 && !made:
		return // nothing to read: the consumer was not even looked for
	case streams < o.count && made && !makes:
		e.copy() // consumers without an entry, which the secondary would not make
		return
	}
	e.readAgain(args, &o, reply, made != makes)
	if !o.noack {
		e.deliveredAt(env, args, &o, reply)
	}
	if env.Primary != env.Secondary && redis70.in(env.Primary) && redis70.in(env.Secondary) {
		e.entriesRead(args, &o, reply, follow)
	}
}

// entriesRead makes the groups' counters of entries read what they are on the primary: how they are counted
// when entries are missing has changed from one version to another.
func (e *Effect) entriesRead(args [][]byte, o *xreadOptions, reply []byte, follow [][]byte) {
	n := -1 // the follow-up that belongs to the stream
	for i := range o.count {
		key := args[o.first+i]
		if string(args[o.first+o.count+i]) != ">" {
			continue
		}
		if n++; !inStreams(reply, key) {
			continue
		}
		if n >= len(follow) {
			e.copy()
			return
		}
		last, read, ok := groupState(follow[n], args[2])
		if !ok {
			e.copy()
			return
		}
		size := 5
		if read != nil {
			size = 7
		}
		e.begin(size, "XGROUP", ExpectOK())
		e.argText("SETID")
		e.arg(key)
		e.arg(args[2])
		e.arg(last)
		if read != nil {
			e.argText("ENTRIESREAD")
			e.arg(read)
		}
	}
}

// groupState finds a group in a reply to XINFO GROUPS: its last delivered id and the number of entries read,
// nil if the server has lost count.
func groupState(reply, group []byte) (last, read []byte, ok bool) {
	c := walk(reply)
	groups := c.next()
	for range groups.n {
		fields := c.next()
		mine := false
		for i := 0; i+1 < fields.n && c.ok; i += 2 {
			name := c.next().text
			v := c.next()
			switch string(name) {
			case "name":
				mine = bytes.Equal(v.text, group)
			case "last-delivered-id":
				last = v.text
			case "entries-read":
				read = nil
				if !v.null() {
					read = v.text
				}
			}
		}
		if mine && c.ok {
			return last, read, last != nil
		}
	}
	return nil, nil, false
}

// xreadgroupFollows asks for the groups of each stream of which new entries are read.
func xreadgroupFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	o, ok := parseXRead(args, 4)
	if !ok || !redis70.in(primary) {
		return dst, 0
	}
	n := 0
	for i := range o.count {
		if string(args[o.first+o.count+i]) == ">" {
			dst = append(dst, "*3\r\n$5\r\nXINFO\r\n$6\r\nGROUPS\r\n"...)
			dst = appendBulk(dst, args[o.first+i])
			n++
		}
	}
	return dst, n
}

// readAgain writes the XREADGROUP for the secondary: without BLOCK, and if only is set without the streams
// that are not in the reply.
func (e *Effect) readAgain(args [][]byte, o *xreadOptions, reply []byte, only bool) {
	wanted := func(i int) bool { return !only || inStreams(reply, args[o.first+i]) }
	n := 1
	o.unblocked(args, 4, func([]byte) { n++ })
	for i := range o.count {
		if wanted(i) {
			n += 2
		}
	}
	e.begin(n, "XREADGROUP", ExpectSame(reply))
	o.unblocked(args, 4, e.arg)
	for i := range 2 * o.count {
		if wanted(i % o.count) {
			e.arg(args[o.first+i])
		}
	}
}

// readStreams counts the streams in a reply of XREADGROUP: a null, an array of [key, entries] or a map.
func readStreams(reply []byte) (n int, ok bool) {
	c := walk(reply)
	switch v := c.next(); {
	case v.kind == '%':
		return v.n / 2, c.ok
	case v.null():
		return 0, c.ok
	default:
		return v.n, c.ok && v.aggregate()
	}
}

// eachStream calls do with the key and the entries of each stream in such a reply.
func eachStream(reply []byte, do func(key, entries []byte)) {
	n, _ := readStreams(reply)
	c := walk(reply)
	isMap := c.next().kind == '%'
	for range n {
		if !isMap {
			c.next() // the pair
		}
		key := c.next().text
		entries := c.b
		c.skip()
		if !c.ok {
			return
		}
		do(key, entries)
	}
}

func inStreams(reply, key []byte) (found bool) {
	eachStream(reply, func(k, _ []byte) { found = found || bytes.Equal(k, key) })
	return found
}

// deliveredAt gives the new entries that XREADGROUP has delivered the time at which the primary did so. Those
// that a consumer had before, and read again, keep the secondary's: claiming them would make the consumer
// look active, which reading does not.
func (e *Effect) deliveredAt(env *Env, args [][]byte, o *xreadOptions, reply []byte) {
	eachStream(reply, func(key, entries []byte) {
		live := liveEntries(entries)
		if live == 0 || env.Now == 0 || !o.readsNew(args, key) {
			return
		}
		e.begin(8+live, "XCLAIM", ExpectAny())
		e.arg(key)
		e.arg(args[2])
		e.arg(args[3])
		e.argText("0")
		eachLive(entries, e.arg)
		e.argText("TIME")
		e.argInt(env.Now)
		e.argText("JUSTID")
	})
}

// readsNew reports whether new entries of the stream were asked for, and not a consumer's own.
func (o *xreadOptions) readsNew(args [][]byte, key []byte) bool {
	for i := range o.count {
		if bytes.Equal(args[o.first+i], key) {
			return string(args[o.first+o.count+i]) == ">"
		}
	}
	return false
}

// liveEntries counts the entries in an array of [id, fields] whose fields are there: an entry that was
// deleted from the stream has null, and claiming it would drop it.
func liveEntries(entries []byte) (n int) {
	eachLive(entries, func([]byte) { n++ })
	return n
}

// eachLive calls do with the id of each entry that is still in its stream.
func eachLive(entries []byte, do func(id []byte)) {
	c := walk(entries)
	list := c.next()
	if !list.aggregate() {
		return
	}
	for range list.n {
		c.next() // the pair
		id := c.next().text
		fields := c.next()
		c.rest(fields)
		if !c.ok {
			return
		}
		if !fields.null() {
			do(id)
		}
	}
}
