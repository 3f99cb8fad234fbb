package router

// The effects of the list, set and sorted set commands that cannot go as they are: those that choose for
// themselves what to take, and those that an older secondary does not know.

// popEffect: LPOP and RPOP key [count]. With a count, before 6.2, the same is said by LTRIM.
func popEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	if isEmpty(reply) {
		return
	}
	if len(args) == 2 || env.Secondary.HasPXAT() {
		e.forward(ExpectSame(reply))
		return
	}
	c := walk(reply)
	e.trimPopped(args[1], int64(c.next().n), equalFold(args[0], "LPOP"))
}

// trimPopped takes n elements from one end.
func (e *Effect) trimPopped(key []byte, n int64, head bool) {
	e.begin(4, "LTRIM", ExpectOK())
	e.arg(key)
	if head {
		e.argInt(n)
		e.argInt(-1)
	} else {
		e.argInt(0)
		e.argInt(-1 - n)
	}
}

// bpopEffect: BLPOP and BRPOP key ... timeout answer [key, element]: a pop from that list.
func bpopEffect(pop string) effectFunc {
	return func(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
		if isEmpty(reply) {
			return
		}
		i, element := servedKey(args[1:len(args)-1], reply, 2)
		if i < 0 {
			e.copy()
			return
		}
		e.begin(2, pop, ExpectSame(element))
		e.arg(args[1+i])
		e.Keys = append(e.Keys, i)
	}
}

// servedKey reads a reply of n elements of which the first is the key that was served, and finds it among
// those of the request: its index, or -1. rest are the other elements.
func servedKey(keys [][]byte, reply []byte, n int) (index int, rest []byte) {
	c := walk(reply)
	if v := c.next(); v.n != n {
		return -1, nil
	}
	name := c.next()
	if !c.ok {
		return -1, nil
	}
	for i, k := range keys {
		if string(k) == string(name.text) {
			return i, c.b
		}
	}
	return -1, nil
}

// moveEffect: LMOVE source destination from to, and BLMOVE and BRPOPLPUSH (from the right to the left), which
// may not be sent as they are. All answer the element.
func moveEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	keys, ends := args[1:3], [2]string{"RIGHT", "LEFT"}
	if len(args) >= 5 {
		for i := range ends {
			ends[i] = "LEFT"
			if equalFold(args[3+i], "RIGHT") {
				ends[i] = "RIGHT"
			}
		}
	}
	element, null, ok := replyText(reply)
	switch newer := redis62.in(env.Secondary); {
	case !ok:
		e.copy()
	case null:
	case newer && equalFold(args[0], "LMOVE"):
		e.forward(ExpectSame(reply))
	case newer:
		e.begin(5, "LMOVE", ExpectSame(reply))
		e.argAll(keys)
		e.argText(ends[0])
		e.argText(ends[1])
	case ends == [2]string{"RIGHT", "LEFT"}:
		e.begin(3, "RPOPLPUSH", ExpectSame(reply))
		e.argAll(keys)
	default:
		e.moveInSteps(keys, ends, element, reply)
	}
}

// moveInSteps is for a secondary without LMOVE. The element is pushed first, so that a list that is rotated
// is never empty and keeps its expiry.
func (e *Effect) moveInSteps(keys [][]byte, ends [2]string, element, reply []byte) {
	if ends[0] == ends[1] && string(keys[0]) == string(keys[1]) {
		return // from one end to the same end of the same list
	}
	push, pop := "LPUSH", "LPOP"
	if ends[1] == "RIGHT" {
		push = "RPUSH"
	}
	if ends[0] == "RIGHT" {
		pop = "RPOP"
	}
	e.begin(3, push, ExpectAny())
	e.arg(keys[1])
	e.arg(element)
	e.begin(2, pop, ExpectSame(reply))
	e.arg(keys[0])
}

// lmpopEffect: LMPOP n key ... LEFT|RIGHT [COUNT n], or BLMPOP with a timeout before it, becomes a pop from
// the list that was served. at is the place of the number of keys.
func lmpopEffect(at int) effectFunc {
	return func(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
		if isEmpty(reply) {
			return
		}
		count, ok := countedKeys(args, at, 1)
		if !ok {
			e.copy()
			return
		}
		where := at + 1 + count
		i, elements := servedKey(args[at+1:where], reply, 2)
		c := walk(elements)
		n := c.next().n
		if i < 0 || !c.ok || n <= 0 || where >= len(args) {
			e.copy()
			return
		}
		head := equalFold(args[where], "LEFT")
		e.Keys = append(e.Keys, i)
		if !env.Secondary.HasPXAT() {
			e.trimPopped(args[at+1+i], int64(n), head)
			return
		}
		name := "RPOP"
		if head {
			name = "LPOP"
		}
		e.begin(3, name, ExpectSame(elements))
		e.arg(args[at+1+i])
		e.argInt(int64(n))
	}
}

// removeBatch bounds how many members one command of an effect removes.
const removeBatch = 1 << 14

// remove appends SREM or ZREM of members that a reply lists, each followed by step-1 values that do not
// matter. A reply that is not such a list makes a copy.
func (e *Effect) remove(name string, key []byte, reply []byte, step int) {
	n := leaves(reply)
	if n <= 0 || n%step != 0 {
		e.copy()
		return
	}
	n /= step
	for c := walk(reply); n > 0; {
		batch := min(n, removeBatch)
		n -= batch
		e.begin(2+batch, name, ExpectInt(int64(batch)))
		e.arg(key)
		for range batch {
			e.arg(c.leaf().text)
			for range step - 1 {
				c.leaf()
			}
		}
	}
}

// leaf reads the next value that is not an aggregate.
func (c *cursor) leaf() value {
	for {
		if v := c.next(); !v.aggregate() || !c.ok {
			return v
		}
	}
}

// leaves counts the values of a reply that are not aggregates, or returns -1 when it is not one whole reply.
func leaves(reply []byte) (n int) {
	whole := walk(reply)
	if whole.skip(); !whole.ok {
		return -1
	}
	for c := walk(reply); len(c.b) > 0 && c.ok; {
		if v := c.next(); !v.aggregate() {
			n++
		}
	}
	return n
}

// spopEffect removes the members that the primary has chosen.
func spopEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if !isEmpty(reply) {
		e.remove("SREM", args[1], reply, 1)
	}
}

// zpopEffect removes the members that were answered with their scores: flat or in pairs.
func zpopEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if !isEmpty(reply) {
		e.remove("ZREM", args[1], reply, 2)
	}
}

// bzpopEffect: BZPOPMIN and BZPOPMAX key ... timeout answer [key, member, score].
func bzpopEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if isEmpty(reply) {
		return
	}
	i, popped := servedKey(args[1:len(args)-1], reply, 3)
	c := walk(popped)
	member := c.next()
	if i < 0 || !c.ok {
		e.copy()
		return
	}
	e.begin(3, "ZREM", ExpectInt(1))
	e.arg(args[1+i])
	e.arg(member.text)
	e.Keys = append(e.Keys, i)
}

// zmpopEffect: ZMPOP n key ... MIN|MAX [COUNT n], or BZMPOP with a timeout before it. at is the place of the
// number of keys.
func zmpopEffect(at int) effectFunc {
	return func(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
		if isEmpty(reply) {
			return
		}
		n, ok := countedKeys(args, at, 1)
		if !ok {
			e.copy()
			return
		}
		i, elements := servedKey(args[at+1:at+1+n], reply, 2)
		if i < 0 {
			e.copy()
			return
		}
		e.remove("ZREM", args[at+1+i], elements, 2)
		e.Keys = append(e.Keys, i)
	}
}
