package router

// The effects of the other hash commands that cannot go as they are.

// hgetdelEffect: HGETDEL key FIELDS n field ... answers the values that it has deleted.
func hgetdelEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	f, _, ok := parseFields(args, 2, 1)
	n := -1
	if ok {
		n = f.presentCount(reply)
	}
	switch {
	case n < 0 && isEmpty(reply):
	case n < 0:
		e.copy()
	case n > 0:
		e.begin(2+n, "HDEL", ExpectInt(int64(n)))
		e.arg(args[1])
		e.argPresent(f, reply)
	}
}

// parseHgetex reads HGETEX key [expiry] FIELDS n field ...
func parseHgetex(args [][]byte) (x expiry, f fieldList, ok bool) {
	i := 2
	for i < len(args) && !equalFold(args[i], "FIELDS") {
		n := x.parse(args, i)
		if n == 0 {
			return x, f, false
		}
		i += n
	}
	f, end, ok := parseFields(args, i, 1)
	return x, f, ok && end == len(args)
}

// hgetexWrites: without an option HGETEX only reads. One that cannot be parsed fails on the server.
func hgetexWrites(args [][]byte) bool {
	x, _, ok := parseHgetex(args)
	return !ok || x.kind != expiryNone
}

func hgetexEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	x, f, ok := parseHgetex(args)
	n := -1
	if ok {
		n = f.presentCount(reply)
	}
	switch {
	case n < 0 && isEmpty(reply), n == 0:
		return
	case n < 0:
		e.copy()
		return
	case x.kind == expiryPersist:
		e.hpersist(env, args[1], f, n, reply)
		return
	}
	w := f.hgetexExpiry(env, x, reply, follow)
	switch {
	case w.state == whenGone:
		e.begin(2+n, "HDEL", ExpectAny())
		e.arg(args[1])
	case w.state != whenAt || !env.Secondary.HasHashFieldTTL():
		e.copy()
		return
	default:
		e.begin(5+n, "HPEXPIREAT", ExpectAtLeast(1))
		e.arg(args[1])
		e.argInt(w.at)
		e.argText("FIELDS")
		e.argInt(int64(n))
		e.MayExpire = true
	}
	e.argPresent(f, reply)
}

// hpersist appends HPERSIST for the fields that had a value; which of them had an expiry is not known.
func (e *Effect) hpersist(env *Env, key []byte, f fieldList, n int, reply []byte) {
	if !env.Secondary.HasHashFieldTTL() {
		e.copy()
		return
	}
	e.begin(4+n, "HPERSIST", ExpectAtLeast(-1))
	e.arg(key)
	e.argText("FIELDS")
	e.argInt(int64(n))
	e.argPresent(f, reply)
}

// hgetexExpiry is the time that HGETEX gave to the fields that had a value.
func (f *fieldList) hgetexExpiry(env *Env, x expiry, reply []byte, follow [][]byte) when {
	if x.kind != expiryRelative {
		return x.after(env.ofFields(), nil)
	}
	if len(follow) != 1 {
		return when{}
	}
	times, ok := f.codes(follow[0])
	if !ok {
		return when{}
	}
	values := walk(reply)
	values.next()
	for range f.len() {
		v := values.next()
		t, ok := parseInt(times.next().text)
		if ok && !v.null() && t >= 0 {
			return when{state: whenAt, at: t + env.Shift}
		}
	}
	return when{state: whenGone}
}

func hgetexFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	x, f, ok := parseHgetex(args)
	if !ok || x.kind != expiryRelative {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], f), 1
}

// parseHsetex reads HSETEX key [NX|XX|FNX|FXX] [expiry] FIELDS n field value ...
func parseHsetex(args [][]byte) (x expiry, f fieldList, ok bool) {
	i := 2
	for i < len(args) && !equalFold(args[i], "FIELDS") {
		if n := x.parse(args, i); n > 0 {
			i += n
			continue
		}
		switch word := args[i]; {
		case equalFold(word, "NX"), equalFold(word, "XX"), equalFold(word, "FNX"), equalFold(word, "FXX"):
			i++
		default:
			return x, f, false
		}
	}
	f, end, ok := parseFields(args, i, 2)
	return x, f, ok && end == len(args)
}

func hsetexEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	x, f, ok := parseHsetex(args)
	n, isInt := replyInt(reply)
	if !ok || !isInt {
		e.copy()
		return
	}
	if n == 0 {
		return
	}
	switch x.kind {
	case expiryNone:
		e.hset(args[1], f)
	case expiryKeep:
		e.hsetKeep(env, args[1], f, follow)
	case expiryRelative:
		first := fieldList{fields: f.fields[:2], width: 2}
		w := when{}
		if len(follow) == 1 {
			if times, ok := first.codes(follow[0]); ok {
				w = fieldWhen(env, &times)
			}
		}
		e.hsetUntil(env, args[1], f, w)
	default:
		e.hsetUntil(env, args[1], f, x.after(env.ofFields(), nil))
	}
}

// fieldWhen reads one element of HPEXPIRETIME's reply for a relative expiry.
func fieldWhen(env *Env, times *cursor) when {
	t, ok := parseInt(times.next().text)
	switch {
	case !ok:
		return when{}
	case t == -1:
		return when{state: whenNever}
	case t < 0:
		return when{state: whenGone}
	}
	return when{state: whenAt, at: t + env.Shift}
}

// hsetexFollows asks for the expiry of the first field, for the others have the same, or with KEEPTTL of all.
func hsetexFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	x, f, ok := parseHsetex(args)
	switch {
	case !ok || x.kind != expiryRelative && x.kind != expiryKeep:
		return dst, 0
	case x.kind == expiryRelative:
		f.fields = f.fields[:2]
	}
	return appendFieldExpiryRead(dst, args[1], f), 1
}

// hset appends HSET of all the fields, which drops their expiries. How many are new is not known.
func (e *Effect) hset(key []byte, f fieldList) {
	e.begin(2+len(f.fields), "HSET", ExpectAny())
	e.arg(key)
	e.argAll(f.fields)
}

// hsetKeep sets the fields to expire when they do on the primary, as the follow-up tells for each. KEEPTTL
// itself would not do: a field that has expired, but is not yet swept away, keeps that (Redis 8.0).
func (e *Effect) hsetKeep(env *Env, key []byte, f fieldList, follow [][]byte) {
	if !env.Primary.HasHashFieldTTL() {
		e.hset(key, f)
		return
	}
	if len(follow) != 1 {
		e.copy()
		return
	}
	times, ok := f.codes(follow[0])
	if !ok {
		e.copy()
		return
	}
	own := *env
	own.Shift = 0 // the expiries were there before
	for i := 0; i < len(f.fields) && e.Kind != Copy; i += 2 {
		e.hsetUntil(&own, key, fieldList{fields: f.fields[i : i+2], width: 2}, fieldWhen(&own, &times))
	}
}

// hsetUntil sets the fields to expire then.
func (e *Effect) hsetUntil(env *Env, key []byte, f fieldList, w when) {
	switch {
	case w.state == whenNever:
		e.hset(key, f)
	case w.state == whenGone:
		e.begin(2+f.len(), "HDEL", ExpectAny())
		e.arg(key)
		for i := 0; i < len(f.fields); i += 2 {
			e.arg(f.fields[i])
		}
	case w.state != whenAt || !env.Secondary.HasHashFieldTTL():
		e.copy()
	case env.Secondary.HasHSETEX():
		e.begin(6+len(f.fields), "HSETEX", ExpectInt(1))
		e.arg(key)
		e.argText("PXAT")
		e.argInt(w.at)
		e.argText("FIELDS")
		e.argInt(int64(f.len()))
		e.argAll(f.fields)
		e.MayExpire = true
	default:
		e.hset(key, f)
		e.begin(5+f.len(), "HPEXPIREAT", ExpectAtLeast(1))
		e.arg(key)
		e.argInt(w.at)
		e.argText("FIELDS")
		e.argInt(int64(f.len()))
		for i := 0; i < len(f.fields); i += 2 {
			e.arg(f.fields[i])
		}
		e.MayExpire = true
	}
}

// hincrbyfloatEffect sets the result: a sum of long doubles differs from one processor to another. The
// field keeps its expiry, which the follow-up tells.
func hincrbyfloatEffect(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
	sum, null, ok := replyText(reply)
	if !ok || null {
		e.copy()
		return
	}
	pair := [2][]byte{args[2], sum}
	e.hsetKeep(env, args[1], fieldList{fields: pair[:], width: 2}, follow)
}

func hincrbyfloatFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if !primary.HasHashFieldTTL() {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], fieldList{fields: args[2:3], width: 1}), 1
}
