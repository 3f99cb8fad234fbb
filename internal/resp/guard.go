package resp

import "bytes"

// Limits bound what one command of a client may be. Sizes are bytes.
type Limits struct {
	// MaxBulk is the longest argument; longer is "invalid bulk length". Redis: proto-max-bulk-len.
	MaxBulk int64
	// MaxArgs is the largest number of arguments; more is "invalid multibulk length". 1024*1024 is the limit
	// of Redis before 7.0; later ones take more, but what passes here must pass on both instances.
	MaxArgs int
	// MaxInline is the longest inline command, its line break not counted.
	MaxInline int
	// MaxCommand is the longest command as sent, headers included: the bound on what the caller must buffer.
	MaxCommand int64
	// Unauthenticated adds the limits that Redis has for a client that must still authenticate: 10 arguments
	// of 16 KiB each, with their own error texts.
	Unauthenticated bool
}

// DefaultLimits are those of a Redis with its default configuration.
var DefaultLimits = Limits{MaxBulk: 512 << 20, MaxArgs: 1 << 20, MaxInline: 64 << 10, MaxCommand: 1 << 30}

// PreAuthLimits are DefaultLimits for a client that must still authenticate.
var PreAuthLimits = DefaultLimits.PreAuth()

const (
	unauthenticatedArgs = 10
	unauthenticatedBulk = 16 << 10
	// maxLengthLine bounds a line that should hold a length and goes on and on.
	maxLengthLine = 64 << 10
)

// PreAuth returns the same limits for a client that must still authenticate.
func (l Limits) PreAuth() Limits {
	l.Unauthenticated = true
	return l
}

// Guard finds the end of each command in a client's byte stream and believes nothing on the way. What it
// calls complete, redcon.ReadNextCommand and Args read without a surprise, and every server reads as the same
// command: where Redis is lax (it skips the two bytes after an argument unseen) Guard is strict, because the
// bytes are forwarded as they came, and a second reading of them would be another command.
//
// It works incrementally: bytes that were looked at are not looked at again, so a command that arrives in any
// number of pieces costs time linear in its length. Guard holds positions only, never bytes.
type Guard struct {
	limits Limits

	part  guardPart
	pos   int // where the part being read starts
	seen  int // up to where that part's line end was searched in vain
	bulk  int // length of the argument being read, in guardBody
	left  int // arguments still to be read, the current one included
	want  int
	nul   bool // the line being read holds a NUL byte
	count int  // arguments of the command
	// inline tells the two forms of a command apart.
	inline bool
}

// guardPart is the part of a command that is being read.
type guardPart uint8

const (
	guardStart  guardPart = iota // nothing yet
	guardInline                  // an inline command's line
	guardCount                   // "*3\r\n"
	guardHeader                  // "$5\r\n"
	guardBody                    // an argument and its CRLF
	guardDone                    // the command is complete: the next call begins another
)

// NewGuard returns a Guard at the start of a stream.
func NewGuard(limits Limits) Guard { return Guard{limits: limits} }

// SetLimits changes the limits, from the next part on: a client has authenticated.
func (g *Guard) SetLimits(limits Limits) { g.limits = limits }

// Reset forgets the command in progress.
func (g *Guard) Reset() { *g = Guard{limits: g.limits} }

// Count is the number of arguments of the command that Next has just found complete, 0 for the ones that
// Redis ignores: an empty inline line, "*0", "*-1". Drop those bytes; nothing answers them.
func (g *Guard) Count() int { return g.count }

// Empty reports whether the command that Next has just found complete is one that Redis ignores.
func (g *Guard) Empty() bool { return g.count == 0 }

// Inline reports whether that command is an inline one, to be split by SplitInline. The others are split by
// Args or redcon.ReadNextCommand. (redcon takes lines with '$' in front for another protocol and has quoting
// rules of its own, so it must not see inline commands.)
func (g *Guard) Inline() bool { return g.inline }

// Want is how many bytes, at the least, are missing after Next answered "not complete". For a large argument
// it is the rest of it, so that the caller can make room once instead of by doubling. It is a promise of the
// client's, within the limits, and no more: a caller with many clients should make room in steps.
func (g *Guard) Want() int { return g.want }

// Next looks for the end of the command at the start of b, the bytes received and not yet consumed. When the
// command is all there, complete is true, n is its length, and the next call must begin after it. Otherwise n
// is 0 and the next call must bring the same bytes and more. A *ProtocolError ends the stream.
//
// The verdict does not depend on how the bytes were cut into calls.
func (g *Guard) Next(b []byte) (n int, complete bool, err error) {
	if g.part == guardDone || len(b) < g.pos {
		g.Reset()
	}
	for {
		switch g.part {
		case guardStart:
			if len(b) == 0 {
				g.want = 1
				return 0, false, nil
			}
			if b[0] != '*' {
				g.part, g.inline = guardInline, true
				continue
			}
			if n := g.whole(b); n > 0 {
				return n, true, nil
			}
			g.part = guardCount

		case guardInline:
			return g.inlineLine(b)

		case guardCount:
			count, next, err := g.header(b, '*', ErrMultibulkHeader, ErrMultibulkLength)
			switch {
			case next == 0:
				return 0, false, err
			case count > int64(g.limits.MaxArgs):
				return 0, false, ErrMultibulkLength
			case g.limits.Unauthenticated && count > unauthenticatedArgs:
				return 0, false, ErrUnauthMultibulk
			}
			g.count = int(max(count, 0))
			g.left = g.count
			g.advance(next, guardHeader)
			if g.count == 0 {
				return g.finish()
			}

		case guardHeader:
			size, next, err := g.header(b, '$', ErrBulkHeader, ErrBulkLength)
			switch {
			case next == 0:
				return 0, false, err
			case size < 0 || size > g.limits.MaxBulk:
				return 0, false, ErrBulkLength
			case g.limits.Unauthenticated && size > unauthenticatedBulk:
				return 0, false, ErrUnauthBulk
			case size > g.limits.MaxCommand-int64(next)-2:
				return 0, false, ErrRequestTooBig
			}
			g.bulk = int(size)
			g.advance(next, guardBody)

		case guardBody:
			end := g.pos + g.bulk
			if len(b) < end+2 {
				g.want = end + 2 - len(b)
				return 0, false, nil
			}
			if b[end] != '\r' || b[end+1] != '\n' {
				return 0, false, ErrBulkLength
			}
			g.left--
			g.advance(end+2, guardHeader)
			if g.left == 0 {
				return g.finish()
			}
		}
	}
}

// advance goes on to the part that starts at pos.
func (g *Guard) advance(pos int, part guardPart) {
	g.part, g.pos, g.seen = part, pos, pos
}

func (g *Guard) finish() (int, bool, error) {
	g.part, g.want = guardDone, 0
	return g.pos, true, nil
}

// header reads the length line at g.pos. next is 0 without an error when more bytes are needed. tooBig and
// invalid are the errors of this kind of line; a line that should start with '$' and does not has its own.
func (g *Guard) header(b []byte, kind byte, tooBig, invalid *ProtocolError) (length int64, next int, err error) {
	if g.pos < len(b) && b[g.pos] == kind {
		if length, next := quickLength(b, g.pos+1); next > 0 {
			return int64(length), next, nil
		}
	}
	end, err := g.lineEnd(b, '\r', maxLengthLine, tooBig)
	if end < 0 {
		return 0, 0, err
	}
	if end+1 == len(b) {
		// Nothing is judged before the LF is there too, as in Redis: the verdict is then the same for all cuts.
		g.seen, g.want = end, 1
		return 0, 0, nil
	}
	if b[g.pos] != kind {
		return 0, 0, errExpectedBulk(b[g.pos])
	}
	length, ok := parseInt(b[g.pos+1 : end])
	if !ok || b[end+1] != '\n' {
		return 0, 0, invalid
	}
	return length, end + 2, nil
}

// inlineLine finds the end of an inline command: LF, a CR before it belongs to it.
func (g *Guard) inlineLine(b []byte) (n int, complete bool, err error) {
	end, err := g.lineEnd(b, '\n', g.limits.MaxInline, ErrInlineTooBig)
	if end < 0 {
		return 0, false, err
	}
	if g.count, err = countInline(b[:end]); err != nil {
		return 0, false, err
	}
	g.pos = end + 1
	return g.finish()
}

// lineEnd finds the byte that ends the line at g.pos, or returns -1, with an error if the line is longer than
// limit. Redis searches with strchr: a line that holds a NUL never ends for it.
func (g *Guard) lineEnd(b []byte, last byte, limit int, tooBig *ProtocolError) (int, error) {
	end := -1
	if !g.nul {
		rest := b[g.seen:]
		if i := bytes.IndexByte(rest, last); i >= 0 {
			end = g.seen + i
			rest = rest[:i]
		}
		if g.nul = bytes.IndexByte(rest, 0) >= 0; g.nul {
			end = -1
		}
	}
	length := end - g.pos
	if end < 0 {
		length, g.seen, g.want = len(b)-g.pos, len(b), 1
	}
	if length > limit {
		return -1, tooBig
	}
	return end, nil
}

// whole returns the length of the command at the start of b if it is all there, of the common form and within
// the limits, else 0: a short way for most commands, which judges nothing.
func (g *Guard) whole(b []byte) int {
	count, i := quickLength(b, 1)
	if i == 0 || count == 0 || count > g.limits.MaxArgs || g.limits.Unauthenticated {
		return 0
	}
	for range count {
		if i >= len(b) || b[i] != '$' {
			return 0
		}
		size, start := quickLength(b, i+1)
		end := start + size
		if start == 0 || end+2 > len(b) || int64(size) > g.limits.MaxBulk || b[end] != '\r' || b[end+1] != '\n' {
			return 0
		}
		i = end + 2
	}
	if int64(i) > g.limits.MaxCommand {
		return 0
	}
	g.part, g.count, g.want = guardDone, count, 0
	return i
}
