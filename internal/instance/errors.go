package instance

import (
	"errors"
	"strings"
)

// What can be wrong with an instance, for errors.Is. Every error of this package that is about a server
// names the instance by role and address.
var (
	// ErrUnreachable: no TCP connection came about (refused, no route, unknown host, timeout).
	ErrUnreachable = errors.New("cannot be reached")
	// ErrNoAnswer: connected, but the server did not answer in time, or closed the connection.
	ErrNoAnswer = errors.New("does not answer")
	// ErrNotRedis: what answers does not speak the Redis protocol.
	ErrNotRedis = errors.New("does not speak the Redis protocol")
	// ErrTLS: the TLS handshake failed: no TLS there, or one side refuses the other's certificate. Such an
	// error is ErrNoAnswer too.
	ErrTLS = errors.New("TLS")
	// ErrCredentials: user or password missing, wrong, or not wanted.
	ErrCredentials = errors.New("credentials refused")
	// ErrCommandRefused: the server knows no such command (renamed, disabled by the provider), or this user
	// may not run it.
	ErrCommandRefused = errors.New("command refused")
)

// handshakeError is a TLS handshake that failed.
type handshakeError struct {
	text  string
	cause error
}

func (e *handshakeError) Error() string   { return e.text }
func (e *handshakeError) Unwrap() []error { return []error{ErrTLS, ErrNoAnswer, e.cause} }

// ReplyError is an error reply of a server, without the leading '-'.
type ReplyError struct{ Text string }

func (e *ReplyError) Error() string { return e.Text }

// Code is the first word: ERR, NOPERM, WRONGTYPE, ...
func (e *ReplyError) Code() string {
	code, _, _ := strings.Cut(e.Text, " ")
	return code
}

// Is makes errors.Is(err, ErrCommandRefused) and errors.Is(err, ErrCredentials) work on plain replies.
func (e *ReplyError) Is(target error) bool {
	switch target {
	case ErrCommandRefused:
		return e.refused()
	case ErrCredentials:
		switch e.Code() {
		case "NOAUTH", "WRONGPASS":
			return true
		}
	}
	return false
}

// refused: Redis says NOPERM for a user without the right, "unknown command" for a command that was renamed
// or is not there, "unknown subcommand" (4.0 to 6.0: "Unknown subcommand or wrong number of arguments") for
// CLIENT and CONFIG forms; providers have texts of their own around "not allowed", "not support(ed)" and
// "disabled". Only plain ERR is read that way: OOM and MISCONF use the same words for states that pass.
func (e *ReplyError) refused() bool {
	switch e.Code() {
	case "NOPERM":
		return true
	case "ERR":
		text := strings.ToLower(e.Text)
		for _, s := range []string{"unknown command", "unknown subcommand", "not allowed", "not support", "disabled", "no permission"} {
			if strings.Contains(text, s) {
				return true
			}
		}
	}
	return false
}
