package proxy

import (
	"bytes"

	"tandem/internal/resp"
)

// subscriptions are the channels and patterns of one session, as the primary has confirmed them. Under the
// shard's lock.
type subscriptions struct {
	channels, patterns, sharded map[string]struct{}
}

func (u *subscriptions) any() bool {
	return len(u.channels) > 0 || len(u.patterns) > 0 || len(u.sharded) > 0
}

// of is the set that a command or confirmation concerns, and whether it takes away.
func (u *subscriptions) of(kind string) (set *map[string]struct{}, takes bool) {
	switch kind {
	case "subscribe":
		return &u.channels, false
	case "unsubscribe":
		return &u.channels, true
	case "psubscribe":
		return &u.patterns, false
	case "punsubscribe":
		return &u.patterns, true
	case "ssubscribe":
		return &u.sharded, false
	case "sunsubscribe":
		return &u.sharded, true
	}
	return nil, false
}

// confirm takes a confirmation into account.
func (u *subscriptions) confirm(kind string, name []byte) {
	set, takes := u.of(kind)
	switch {
	case set == nil:
	case takes:
		delete(*set, string(name))
	case *set == nil:
		*set = map[string]struct{}{string(name): {}}
	default:
		(*set)[string(name)] = struct{}{}
	}
}

// frames are the commands that bring another connection to the same subscriptions.
func (u *subscriptions) frames() [][]byte {
	var all [][]byte
	for _, k := range []struct {
		command string
		names   map[string]struct{}
	}{{"SUBSCRIBE", u.channels}, {"PSUBSCRIBE", u.patterns}, {"SSUBSCRIBE", u.sharded}} {
		for name := range k.names {
			all = append(all, frame(k.command, name))
		}
	}
	return all
}

// stateFrame is a command by which the server keeps something for the connection, CLIENT TRACKING say.
type stateFrame struct {
	name string
	raw  []byte
}

// restore brings a fresh pinned lane to the session's standing state. Nobody is told of the answers. The lock
// is held.
func (s *session) restore(ln *lane) {
	for _, f := range s.state {
		ln.swallow(f.raw)
	}
	for _, f := range s.subs.frames() {
		ln.enqueue(&request{src: f, replies: 1, sub: &subRequest{n: 1}})
		ln.listening = true
	}
}

// unasked classifies what has come on a pinned lane that no request asked for: it is a push, a message, or a
// line of MONITOR.
func (ln *lane) unasked(b []byte) bool {
	switch {
	case b[0] == '>':
		kind, _ := messageKind(b)
		set, _ := (&subscriptions{}).of(kind)
		return set == nil || ln.queue.head == nil || ln.queue.head.sub == nil
	case b[0] == '*' && ln.listening:
		kind, _ := messageKind(b)
		return kind == "message" || kind == "pmessage" || kind == "smessage" || ln.queue.head == nil
	case b[0] == '+' && ln.monitoring:
		return ln.queue.head == nil || isMonitorLine(b)
	}
	return false
}

// messageKind is the first element of a message or confirmation, and the second.
func messageKind(b []byte) (kind string, name []byte) {
	at := bytes.IndexByte(b, '\n') + 1
	v, n, err := resp.Parse(b[at:])
	if err != nil {
		return "", nil
	}
	second, _, err := resp.Parse(b[at+n:])
	if err != nil {
		return string(v.Str), nil
	}
	return string(v.Str), second.Str
}

// isMonitorLine: "+1700000000.123456 [0 127.0.0.1:1] ...".
func isMonitorLine(b []byte) bool {
	i := 1
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i > 1 && i < len(b) && b[i] == '.' && bytes.IndexByte(b, '[') > i
}

// subRequest is what a SUBSCRIBE or its like waits for: n confirmations.
type subRequest struct{ n int }

// confirmed takes one answer to the sub request at the head of the queue, and reports whether it was the last.
func (ln *lane) confirmed(r *request, b []byte) (last bool) {
	if b[0] == '-' {
		return true
	}
	kind, name := messageKind(b)
	if s := ln.user; s != nil && !ln.deaf {
		s.subs.confirm(kind, name)
		if !s.subs.any() {
			ln.listening = false
			s.pins &^= pinSubscribed
		} else {
			ln.listening = true
		}
	}
	r.sub.n--
	return r.sub.n == 0
}

// clean reports whether the server keeps nothing for the lane that another session would notice.
func (ln *lane) clean() bool { return !ln.listening && !ln.monitoring && !ln.stateful }
