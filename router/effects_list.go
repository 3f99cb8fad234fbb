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

// moveEffect: LMOVE source destination from to, answered the element.
func moveEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	element, null, ok := replyText(reply)
	switch {
	case !ok:
		e.copy()
		return
	case null:
		return
	case redis62.in(env.Secondary):
		e.forward(ExpectSame(reply))
		return
	}
	// The element is pushed first, so that a list that is rotated is never empty and keeps its expiry.
	push, pop := "LPUSH", "LPOP"
	if equalFold(args[4], "RIGHT") {
		push = "RPUSH"
	}
	if equalFold(args[3], "RIGHT") {
		pop = "RPOP"
	}
	if push[0] == pop[0] && string(args[1]) == string(args[2]) {
		return // from one end to the same end of the same list
	}
	e.begin(3, push, ExpectAny())
	e.arg(args[2])
	e.arg(element)
	e.begin(2, pop, ExpectSame(reply))
	e.arg(args[1])
}

// poppedFrom reads the reply of LMPOP and ZMPOP, [key, elements], and finds the key among those of the
// request: its index, or -1. elements is the rest of the reply.
func poppedFrom(args [][]byte, reply []byte) (index int, elements []byte) {
	c := walk(reply)
	if v := c.next(); v.n != 2 {
		return -1, nil
	}
	name := c.next()
	n, ok := countedKeys(args, 1, 1)
	if !c.ok || !ok {
		return -1, nil
	}
	for i := range n {
		if string(args[2+i]) == string(name.text) {
			return i, c.b
		}
	}
	return -1, nil
}

// lmpopEffect: LMPOP n key ... LEFT|RIGHT [COUNT n] becomes a pop from the list that was served.
func lmpopEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	if isEmpty(reply) {
		return
	}
	i, elements := poppedFrom(args, reply)
	c := walk(elements)
	n := c.next().n
	if i < 0 || !c.ok || n <= 0 {
		e.copy()
		return
	}
	count, _ := countedKeys(args, 1, 1)
	head := equalFold(args[2+count], "LEFT")
	e.Keys = append(e.Keys, i)
	if !env.Secondary.HasPXAT() {
		e.trimPopped(args[2+i], int64(n), head)
		return
	}
	name := "RPOP"
	if head {
		name = "LPOP"
	}
	e.begin(3, name, ExpectSame(elements))
	e.arg(args[2+i])
	e.argInt(int64(n))
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

// zmpopEffect: ZMPOP n key ... MIN|MAX [COUNT n].
func zmpopEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if isEmpty(reply) {
		return
	}
	i, elements := poppedFrom(args, reply)
	if i < 0 {
		e.copy()
		return
	}
	e.remove("ZREM", args[2+i], elements, 2)
	e.Keys = append(e.Keys, i)
}
