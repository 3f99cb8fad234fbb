package router

// The fields that a hash command names, and what was answered for each of them.

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
