package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Reply is one decoded reply of RESP2 or RESP3.
type Reply struct {
	// Kind is the type byte: + - : $ * and, of RESP3, _ # , ( = % ~ >
	Kind byte
	// Null is set for $-1, *-1 and _.
	Null bool
	// Int is the number of a ':' and 0 or 1 for a '#'.
	Int int64
	// Str is the text of + - $ , ( and =.
	Str string
	// Elems are the elements of * ~ > and, alternating, the keys and values of %.
	Elems []Reply
}

// IsErr reports whether it is an error reply.
func (r Reply) IsErr() bool { return r.Kind == '-' || r.Kind == '!' }

// String shows the reply as one line for messages, long ones cut.
func (r Reply) String() string {
	var b strings.Builder
	r.write(&b)
	if b.Len() > 300 {
		return b.String()[:300] + "..."
	}
	return b.String()
}

func (r Reply) write(b *strings.Builder) {
	switch {
	case r.Null:
		b.WriteString("nil")
	case r.Kind == ':' || r.Kind == '#':
		fmt.Fprintf(b, "%d", r.Int)
	case r.Kind == '+' || r.Kind == '-':
		fmt.Fprintf(b, "%c%s", r.Kind, r.Str)
	case r.Kind == '*' || r.Kind == '~' || r.Kind == '%' || r.Kind == '>':
		b.WriteByte('[')
		for i, e := range r.Elems {
			if i > 0 {
				b.WriteByte(' ')
			}
			if b.Len() > 300 {
				break
			}
			e.write(b)
		}
		b.WriteByte(']')
	default:
		fmt.Fprintf(b, "%q", r.Str[:min(len(r.Str), 300)])
	}
}

// Strings are the texts of an array's elements.
func (r Reply) Strings() []string {
	s := make([]string, len(r.Elems))
	for i, e := range r.Elems {
		s[i] = e.Str
	}
	return s
}

// Field is the value behind a name in a reply of alternating names and values (HGETALL, XINFO), and whether
// it is there.
func (r Reply) Field(name string) (Reply, bool) {
	for i := 0; i+1 < len(r.Elems); i += 2 {
		if r.Elems[i].Str == name {
			return r.Elems[i+1], true
		}
	}
	return Reply{}, false
}

// maxBulk is Redis' own default limit of a bulk string; more than that is a framing mistake.
const maxBulk = 512 << 20

func (c *Conn) read() (Reply, error) {
	kind, line, err := c.readLine()
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Kind: kind}
	switch kind {
	case '+', '-', ',', '(':
		r.Str = line
	case '_':
		r.Null = true
	case '#':
		if line == "t" {
			r.Int = 1
		}
	case ':':
		if r.Int, err = strconv.ParseInt(line, 10, 64); err != nil {
			return r, fmt.Errorf("bad integer reply %q", line)
		}
	case '$', '=', '!':
		n, err := strconv.Atoi(line)
		if err != nil || n > maxBulk+10 {
			return r, fmt.Errorf("bad bulk length %q", line)
		}
		if r.Null = n < 0; r.Null {
			return r, nil
		}
		body := make([]byte, n+2)
		if err := c.readFull(body); err != nil {
			return r, err
		}
		if string(body[n:]) != "\r\n" {
			return r, fmt.Errorf("bulk string of %d bytes ends in %q, not CRLF", n, body[n:])
		}
		r.Str = string(body[:n])
	case '*', '~', '%', '>':
		n, err := strconv.Atoi(line)
		if err != nil {
			return r, fmt.Errorf("bad array length %q", line)
		}
		if r.Null = n < 0; r.Null {
			return r, nil
		}
		if kind == '%' {
			n *= 2
		}
		r.Elems = make([]Reply, 0, min(n, 1<<16))
		for range n {
			e, err := c.read()
			if err != nil {
				return r, err
			}
			r.Elems = append(r.Elems, e)
		}
	default:
		return r, fmt.Errorf("unknown reply type %q in %q", kind, line)
	}
	return r, nil
}

// readFull fills b, with a new deadline for every part of a big body: it is progress that is bounded, not
// the size.
func (c *Conn) readFull(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), 16<<20)]
		if len(b) > len(part) {
			if err := c.nc.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(c.r, part); err != nil {
			return unexpected(err)
		}
		b = b[len(part):]
	}
	return nil
}

// readLine reads a reply's first line and splits off its type byte.
func (c *Conn) readLine() (byte, string, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, "", fmt.Errorf("reply line %q does not end in CRLF", line)
	}
	return line[0], string(line[1 : len(line)-2]), nil
}

// unexpected tells an end within a reply from one between replies.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
