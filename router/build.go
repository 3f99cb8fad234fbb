package router

import "strconv"

// What effects are written with: commands as RESP2 arrays, appended to Effect.Frames.

// forward makes the request itself the effect.
func (e *Effect) forward(x Expect) {
	e.Kind = Verbatim
	e.Expects = append(e.Expects, x)
}

// forwardBlind is forward for a request whose outcome does not depend on the earlier state.
func (e *Effect) forwardBlind(x Expect) {
	e.forward(x)
	e.Blind = true
}

// copy gives up on a deterministic form, and whatever was written so far.
func (e *Effect) copy() {
	e.Reset()
	e.Kind = Copy
}

// copyKey is copy for one of the request's keys, by its index among them.
func (e *Effect) copyKey(i int) {
	e.copy()
	e.Keys = append(e.Keys, i)
}

// begin starts a command of n arguments, the name included; arg, argText and argInt must follow n-1 times.
func (e *Effect) begin(n int, name string, x Expect) {
	e.Kind = Rewritten
	e.N++
	e.Expects = append(e.Expects, x)
	e.Frames = append(e.Frames, '*')
	e.Frames = strconv.AppendInt(e.Frames, int64(n), 10)
	e.Frames = append(e.Frames, '\r', '\n')
	e.argText(name)
}

func (e *Effect) arg(b []byte) { e.Frames = appendBulk(e.Frames, b) }

func (e *Effect) argText(s string) { e.Frames = appendBulkString(e.Frames, s) }

func (e *Effect) argInt(n int64) {
	var room [20]byte
	e.arg(strconv.AppendInt(room[:0], n, 10))
}

func (e *Effect) argAll(args [][]byte) {
	for _, a := range args {
		e.arg(a)
	}
}

// del makes the effect that a key is gone.
func (e *Effect) del(key []byte) {
	e.begin(2, "DEL", ExpectAny())
	e.arg(key)
	e.Blind = true
}

// appendBulk appends a bulk string.
func appendBulk(dst, s []byte) []byte {
	dst = appendLength(dst, len(s))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

func appendBulkString(dst []byte, s string) []byte {
	dst = appendLength(dst, len(s))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// appendLength appends the head of a bulk string, in one piece where that is short.
func appendLength(dst []byte, n int) []byte {
	if n < 10 {
		return append(dst, '$', byte('0'+n), '\r', '\n')
	}
	dst = strconv.AppendInt(append(dst, '$'), int64(n), 10)
	return append(dst, '\r', '\n')
}

// appendRead appends a follow-up of a name and one key.
func appendRead(dst []byte, name string, key []byte) []byte {
	dst = append(dst, "*2\r\n"...)
	return appendBulk(appendBulkString(dst, name), key)
}
