package resp

import "fmt"

// ProtocolError is a client's breach of the protocol. Its text is what Redis itself answers, without the
// leading "ERR ", because clients and their users know that text. After one the stream has no boundaries
// any more: answer it and close.
type ProtocolError struct{ text string }

func (e *ProtocolError) Error() string { return e.text }

// AppendReply appends the error reply for e ("-ERR Protocol error: ...") to dst.
func (e *ProtocolError) AppendReply(dst []byte) []byte {
	dst = append(dst, "-ERR "...)
	dst = append(dst, e.text...)
	return append(dst, '\r', '\n')
}

// The breaches that Guard and SplitInline report. Only ErrRequestTooBig is not a text of Redis: past its
// client-query-buffer-limit Redis closes without a word.
var (
	ErrMultibulkLength      = &ProtocolError{"Protocol error: invalid multibulk length"}
	ErrBulkLength           = &ProtocolError{"Protocol error: invalid bulk length"}
	ErrMultibulkHeader      = &ProtocolError{"Protocol error: too big mbulk count string"}
	ErrBulkHeader           = &ProtocolError{"Protocol error: too big bulk count string"}
	ErrInlineTooBig         = &ProtocolError{"Protocol error: too big inline request"}
	ErrUnbalancedQuotes     = &ProtocolError{"Protocol error: unbalanced quotes in request"}
	ErrUnauthMultibulk      = &ProtocolError{"Protocol error: unauthenticated multibulk length"}
	ErrUnauthBulk           = &ProtocolError{"Protocol error: unauthenticated bulk length"}
	ErrRequestTooBig        = &ProtocolError{"Protocol error: too big request"}
	errExpectedBulkTemplate = "Protocol error: expected '$', got '%c'"
)

// errExpectedBulk names the byte that stood where '$' belongs. A line break would end the error reply early,
// so it shows as a space, as Redis does it.
func errExpectedBulk(got byte) error {
	if got == '\r' || got == '\n' {
		got = ' '
	}
	return &ProtocolError{fmt.Sprintf(errExpectedBulkTemplate, got)}
}
