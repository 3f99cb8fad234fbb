package conformance

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Reply is one reply or push message as it came over the wire. Nothing is lost on the way: two replies are
// the same bytes exactly when their Strings are equal.
type Reply struct {
	// Kind is the type byte; a null keeps that of its form: '$', '*' or '_'.
	Kind byte
	Null bool
	// Text is the line behind the type byte, or the body of a bulk string, an error or verbatim text.
	Text string
	// Elems are an aggregate's, keys and values of a map in turn. The attributes ahead of a reply are its kind
	// '|' with the reply as the last element.
	Elems []Reply
}

// maxElements bounds what a length may promise: a framing mistake must not ask for all memory.
const maxElements = 1 << 24

// readReply reads one reply.
func readReply(r *bufio.Reader) (Reply, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return Reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return Reply{}, fmt.Errorf("line %q of a reply", line)
	}
	reply := Reply{Kind: line[0], Text: line[1 : len(line)-2]}
	switch reply.Kind {
	case '+', '-', ':', ',', '(', '#':
		return reply, nil
	case '_':
		reply.Null = true
		return reply, nil
	case '$', '=', '!', '*', '~', '%', '>', '|':
	default:
		return reply, fmt.Errorf("type %q of a reply", reply.Kind)
	}
	n, err := strconv.Atoi(reply.Text)
	if err != nil || n < -1 || n > maxElements*32 {
		return reply, fmt.Errorf("length %q of a reply", reply.Text)
	}
	reply.Text = ""
	if n < 0 {
		reply.Null = true
		return reply, nil
	}
	switch reply.Kind {
	case '$', '=', '!':
		body := make([]byte, n+2)
		if _, err := io.ReadFull(r, body); err != nil {
			return reply, fmt.Errorf("body of a reply: %w", err)
		}
		if body[n] != '\r' || body[n+1] != '\n' {
			return reply, fmt.Errorf("a body of %d bytes ends in %q", n, body[n:])
		}
		reply.Text = string(body[:n])
		return reply, nil
	case '%':
		n *= 2
	case '|':
		n = n*2 + 1
	}
	if n > maxElements {
		return reply, fmt.Errorf("%d elements in a reply", n)
	}
	for range n {
		e, err := readReply(r)
		if err != nil {
			return reply, fmt.Errorf("element of a reply: %w", err)
		}
		reply.Elems = append(reply.Elems, e)
	}
	return reply, nil
}

// String is the reply in one line, with its types: +OK, :1, "bulk", *["a" $-1].
func (r Reply) String() string {
	var b strings.Builder
	r.write(&b)
	return b.String()
}

func (r Reply) write(b *strings.Builder) {
	switch {
	case r.Null && r.Kind == '_':
		b.WriteByte('_')
	case r.Null:
		fmt.Fprintf(b, "%c-1", r.Kind)
	case r.aggregate():
		b.WriteByte(r.Kind)
		b.WriteByte('[')
		for i, e := range r.Elems {
			if i > 0 {
				b.WriteByte(' ')
			}
			e.write(b)
		}
		b.WriteByte(']')
	case r.Kind == '$':
		b.WriteString(strconv.Quote(r.Text))
	case r.Kind == '=' || r.Kind == '!':
		b.WriteByte(r.Kind)
		b.WriteString(strconv.Quote(r.Text))
	default:
		b.WriteByte(r.Kind)
		b.WriteString(r.Text)
	}
}

// IsError reports whether it is an error reply.
func (r Reply) IsError() bool { return r.Kind == '-' || r.Kind == '!' }

func (r Reply) aggregate() bool {
	return !r.Null && (r.Kind == '*' || r.Kind == '~' || r.Kind == '%' || r.Kind == '>' || r.Kind == '|')
}

// leaf is the text of the first leaf: what a capture takes.
func (r Reply) leaf() string {
	for r.aggregate() {
		if len(r.Elems) == 0 {
			return ""
		}
		r = r.Elems[0]
	}
	return r.Text
}

// each calls f with every leaf that has text and replaces it by what f returns.
func (r *Reply) each(f func(string) string) {
	for i := range r.Elems {
		r.Elems[i].each(f)
	}
	if !r.aggregate() && !r.Null {
		r.Text = f(r.Text)
	}
}
