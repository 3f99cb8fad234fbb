package router

// The effects of the hash commands. Fields may have expiries of their own (Redis 7.4, Valkey 9.0); the
// commands that set them answer field by field, and only the fields that changed are in the effect.

// fieldList is the FIELDS n field ... part of a request.
type fieldList struct {
	fields [][]byte // with their values in between if width is 2
	width  int
}

// parseFields reads FIELDS n field [value] ... at args[i].
func parseFields(args [][]byte, i, width int) (f fieldList, end int, ok bool) {
	if i+1 >= len(args) || !equalFold(args[i], "FIELDS") {
		return f, 0, false
	}
	n, ok := countedKeys(args, i+1, width)
	if !ok {
		return f, 0, false
	}
	end = i + 2 + n*width
	return fieldList{fields: args[i+2 : end], width: width}, end, true
}

func (f *fieldList) len() int { return len(f.fields) / f.width }

// codes reads an array of one integer per field. ok is false when the reply is not that.
func (f *fieldList) codes(reply []byte) (c cursor, ok bool) {
	c = walk(reply)
	v := c.next()
	return c, c.ok && v.aggregate() && v.n == f.len()
}

// count tells how many fields were answered this code.
func (f *fieldList) count(codes cursor, code int64) (n int) {
	for range f.len() {
		if got, ok := parseInt(codes.next().text); ok && got == code {
			n++
		}
	}
	return n
}

// argFields writes those fields that were answered this code.
func (e *Effect) argFields(f fieldList, codes cursor, code int64) {
	for i := range f.len() {
		if got, ok := parseInt(codes.next().text); ok && got == code {
			e.arg(f.fields[i*f.width])
		}
	}
}

// hexpireKind is the unit of a HEXPIRE command's time.
type hexpireKind uint8

const (
	hexpireRelative hexpireKind = iota
	hexpireSeconds
	hexpireMillis
)

// parseHexpire reads HEXPIRE key time [NX|XX|GT|LT] FIELDS n field ...
func parseHexpire(args [][]byte) (f fieldList, ok bool) {
	i := 3
	for i < len(args) && !equalFold(args[i], "FIELDS") {
		i++
	}
	f, end, ok := parseFields(args, i, 1)
	return f, ok && (end == len(args) || i == 3)
}

// hexpireWith makes the effect of HEXPIRE and its family: fields answered 1 have the time, fields answered 2
// were deleted for it was past, 0 and -2 say that nothing changed.
func hexpireWith(kind hexpireKind) effectFunc {
	return func(e *Effect, env *Env, args [][]byte, reply []byte, follow [][]byte) {
		f, ok := parseHexpire(args)
		if !ok {
			e.copy()
			return
		}
		codes, ok := f.codes(reply)
		if !ok {
			if !isEmpty(reply) {
				e.copy()
			}
			return
		}
		var w when
		switch kind {
		case hexpireRelative:
			w = f.followed(env, codes, 1, follow)
		case hexpireSeconds:
			w = absolute(env, args[2], 1000)
		case hexpireMillis:
			w = absolute(env, args[2], 1)
		}
		e.hpexpireat(env, args[1], f, codes, 1, w)
		if e.Kind != Copy {
			e.hdel(args[1], f, codes, 2)
		}
	}
}

// followed reads the answer to appendFieldExpiryRead: the time of the fields answered this code, which is
// one for all of them. Fields that have expired since do not tell it.
func (f *fieldList) followed(env *Env, codes cursor, code int64, follow [][]byte) when {
	if len(follow) != 1 {
		return when{}
	}
	times, ok := f.codes(follow[0])
	if !ok {
		return when{}
	}
	w := when{state: whenGone}
	for range f.len() {
		got, _ := parseInt(codes.next().text)
		t, ok := parseInt(times.next().text)
		switch {
		case got != code || !ok || t == -2:
		case t < 0:
			return when{}
		default:
			return when{state: whenAt, at: t + env.Shift}
		}
	}
	return w
}

// appendFieldExpiryRead appends the read that tells when each field expires.
func appendFieldExpiryRead(dst []byte, key []byte, f fieldList) []byte {
	e := Effect{Frames: dst}
	e.begin(4+f.len(), "HPEXPIRETIME", ExpectAny())
	e.arg(key)
	e.argText("FIELDS")
	e.argInt(int64(f.len()))
	for i := 0; i < len(f.fields); i += f.width {
		e.arg(f.fields[i])
	}
	return e.Frames
}

func hexpireFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	f, ok := parseHexpire(args)
	if !ok {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], f), 1
}

// hpexpireat appends HPEXPIREAT for the fields that were answered this code, or what it comes to.
func (e *Effect) hpexpireat(env *Env, key []byte, f fieldList, codes cursor, code int64, w when) {
	n := f.count(codes, code)
	switch {
	case n == 0:
		return
	case w.state == whenGone:
		e.hdel(key, f, codes, code)
		return
	case w.state != whenAt || !env.Secondary.HasHashFieldTTL():
		e.copy()
		return
	}
	e.begin(5+n, "HPEXPIREAT", ExpectAtLeast(1))
	e.arg(key)
	e.argInt(w.at)
	e.argText("FIELDS")
	e.argInt(int64(n))
	e.argFields(f, codes, code)
	e.MayExpire = true
}

// hdel appends HDEL for the fields that were answered this code. A field named twice is answered that once.
func (e *Effect) hdel(key []byte, f fieldList, codes cursor, code int64) {
	n := f.count(codes, code)
	if n == 0 {
		return
	}
	e.begin(2+n, "HDEL", ExpectAny())
	e.arg(key)
	e.argFields(f, codes, code)
}

// hpersistEffect: HPERSIST key FIELDS n field ...; 1 for each field whose expiry it removed.
func hpersistEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	f, _, ok := parseFields(args, 2, 1)
	if !ok {
		e.copy()
		return
	}
	codes, ok := f.codes(reply)
	switch {
	case !ok && !isEmpty(reply):
		e.copy()
	case ok && f.count(codes, 1) > 0:
		e.forward(ExpectSame(reply))
	}
}

// present walks over an array of values, one per field, and calls do with each field that had one.
func (f *fieldList) present(reply []byte, do func(field []byte)) (ok bool) {
	c := walk(reply)
	v := c.next()
	if !c.ok || !v.aggregate() || v.n != f.len() {
		return false
	}
	for i := range f.len() {
		v := c.next()
		if !c.ok {
			return false
		}
		if !v.null() {
			do(f.fields[i*f.width])
		}
	}
	return true
}

// presentCount is how many fields had a value, or -1 when the reply is not one value per field.
func (f *fieldList) presentCount(reply []byte) (n int) {
	if !f.present(reply, func([]byte) { n++ }) {
		return -1
	}
	return n
}

// argPresent writes the fields that had a value.
func (e *Effect) argPresent(f fieldList, reply []byte) {
	f.present(reply, e.arg)
}

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
		return x.after(env, nil)
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
		e.hsetexKeep(env, args[1], f)
	case expiryRelative:
		first := fieldList{fields: f.fields[:2], width: 2}
		w := when{}
		if len(follow) == 1 {
			if times, ok := first.codes(follow[0]); ok {
				w = fieldWhen(env, times)
			}
		}
		e.hsetUntil(env, args[1], f, w)
	default:
		e.hsetUntil(env, args[1], f, x.after(env, nil))
	}
}

// fieldWhen reads one element of HPEXPIRETIME's reply for a relative expiry.
func fieldWhen(env *Env, times cursor) when {
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

// hsetexFollows asks for the expiry of the first field; the others have the same.
func hsetexFollows(dst []byte, args [][]byte, _ Server) ([]byte, int) {
	x, f, ok := parseHsetex(args)
	if !ok || x.kind != expiryRelative {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], fieldList{fields: f.fields[:2], width: 2}), 1
}

// hset appends HSET of all the fields, which drops their expiries. How many are new is not known.
func (e *Effect) hset(key []byte, f fieldList) {
	e.begin(2+len(f.fields), "HSET", ExpectAny())
	e.arg(key)
	e.argAll(f.fields)
}

// hsetexKeep sets the fields and leaves their expiries.
func (e *Effect) hsetexKeep(env *Env, key []byte, f fieldList) {
	switch {
	case env.Secondary.HasHSETEX():
		e.begin(5+len(f.fields), "HSETEX", ExpectInt(1))
		e.arg(key)
		e.argText("KEEPTTL")
		e.argText("FIELDS")
		e.argInt(int64(f.len()))
		e.argAll(f.fields)
	case !env.Secondary.HasHashFieldTTL():
		e.hset(key, f) // there are no expiries to keep
	default:
		e.copy()
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
	f := fieldList{fields: pair[:], width: 2}
	switch {
	case !env.Primary.HasHashFieldTTL():
		e.hset(args[1], f)
	case len(follow) != 1:
		e.hsetexKeep(env, args[1], f)
	default:
		times, ok := f.codes(follow[0])
		if !ok {
			e.hsetexKeep(env, args[1], f)
			return
		}
		own := *env
		own.Shift = 0 // the expiry was there before
		e.hsetUntil(&own, args[1], f, fieldWhen(&own, times))
	}
}

func hincrbyfloatFollows(dst []byte, args [][]byte, primary Server) ([]byte, int) {
	if !primary.HasHashFieldTTL() {
		return dst, 0
	}
	return appendFieldExpiryRead(dst, args[1], fieldList{fields: args[2:3], width: 1}), 1
}
