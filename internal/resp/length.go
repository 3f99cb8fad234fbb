package resp

import "math"

// parseInt reads a whole decimal number as Redis reads lengths: an optional '-', digits, no leading zero, no
// sign or space that could be left out, nothing outside int64.
func parseInt(b []byte) (v int64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	digits, negative := b, b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && (len(digits) > 1 || negative) {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 || u > (math.MaxUint64-d)/10 {
			return 0, false
		}
		u = u*10 + d
	}
	switch {
	case negative && u <= 1<<63:
		return -int64(u), true
	case !negative && u <= math.MaxInt64:
		return int64(u), true
	}
	return 0, false
}

// maxQuickDigits keeps quickLength's sum far from overflow; longer lengths are legal and take the slow way.
const maxQuickDigits = 12

// quickLength reads a length that starts at b[i], when it is all there, canonical and not negative, with its
// CRLF: the common case of every header. next is the index after the CRLF, or 0 when the header must be
// looked at more closely (short, negative, long or wrong).
func quickLength(b []byte, i int) (length, next int) {
	if i+4 > len(b) {
		return scanLength(b, i)
	}
	first := b[i] - '0'
	if first <= 9 {
		// Most arguments are shorter than 100 bytes, and most commands have fewer than 10.
		if b[i+1] == '\r' && b[i+2] == '\n' {
			return int(first), i + 3
		}
		if second := b[i+1] - '0'; second <= 9 && b[i+2] == '\r' && b[i+3] == '\n' && first != 0 {
			return int(first)*10 + int(second), i + 4
		}
	}
	return scanLength(b, i)
}

// scanLength is quickLength without its short cut for one or two digits. It looks at a few bytes only, however
// long the line.
func scanLength(b []byte, i int) (length, next int) {
	start := i
	for i < len(b) && i-start <= maxQuickDigits {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		length = length*10 + int(d)
		i++
	}
	digits := i - start
	if digits == 0 || digits > maxQuickDigits || i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' ||
		digits > 1 && b[start] == '0' {
		return 0, 0
	}
	return length, i + 2
}
