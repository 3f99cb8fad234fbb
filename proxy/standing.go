package proxy

import (
	"bytes"
	"maps"
	"slices"
	"strconv"

	"tandem/internal/resp"
)

// subscriptions are the channels and patterns of one session, as the primary has confirmed them. Under the
// shard's lock.
type subscriptions struct {
	channels, patterns, sharded map[string]struct{}
	changes                     uint64 // how often they have changed
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
	if set == nil {
		return
	}
	_, there := (*set)[string(name)]
	switch {
	case there != takes:
		return // as it was
	case takes:
		delete(*set, string(name))
	case *set == nil:
		*set = map[string]struct{}{string(name): {}}
	default:
		(*set)[string(name)] = struct{}{}
	}
	u.changes++
}

func (u *subscriptions) clone() subscriptions {
	return subscriptions{maps.Clone(u.channels), maps.Clone(u.patterns), maps.Clone(u.sharded), u.changes}
}

// maxNames is how many channels are named in one command when a lane is brought to a session's subscriptions.
const maxNames = 256

// since are the commands that bring a connection from other subscriptions to these: first what takes away.
func (u *subscriptions) since(other *subscriptions) (all []subFrame) {
	for _, k := range []struct {
		command  string
		from, to map[string]struct{}
		most     int
	}{
		{"UNSUBSCRIBE", u.channels, other.channels, maxNames},
		{"PUNSUBSCRIBE", u.patterns, other.patterns, maxNames},
		{"SUNSUBSCRIBE", u.sharded, other.sharded, 1}, // those named in one command must be of one slot
		{"SUBSCRIBE", other.channels, u.channels, maxNames},
		{"PSUBSCRIBE", other.patterns, u.patterns, maxNames},
		{"SSUBSCRIBE", other.sharded, u.sharded, 1},
	} {
		args := []string{k.command}
		for name := range k.to {
			if _, there := k.from[name]; there {
				continue
			}
			if args = append(args, name); len(args) > k.most {
				all = append(all, subFrame{frame(args...), len(args) - 1})
				args = args[:1]
			}
		}
		if len(args) > 1 {
			all = append(all, subFrame{frame(args...), len(args) - 1})
		}
	}
	return all
}

// subFrame is a command that subscribes, or ends subscriptions, and by how many confirmations it is answered.
type subFrame struct {
	raw []byte
	n   int
}

// subscribe sends such a command on a lane. Nobody is told of the answers. The lock is held.
func (ln *lane) subscribe(f subFrame) {
	ln.enqueue(&request{src: f.raw, replies: 1, sub: &subRequest{n: f.n}})
	ln.listening = true
}

// stateFrame is a command by which the server keeps something for the connection, CLIENT TRACKING say.
type stateFrame struct {
	name string
	raw  []byte
	// redirect is the session, by the proxy's id, that invalidations are redirected to: place is where raw's
	// arguments name it, by the server's.
	redirect int64
	place    int
}

// to is the command for a server that knows the session that is redirected to by another id.
func (f *stateFrame) to(id int64) []byte {
	args := resp.Args(f.raw, nil)
	args[f.place] = strconv.AppendInt(nil, id, 10)
	return resp.AppendArgs(nil, args)
}

// keep notes that the primary has taken a command which sets something for the connection, or with off one that
// takes it back. Of each name the last counts, unless they add up. The lock is held.
func (s *session) keep(f stateFrame, off, adds bool) {
	s.stateChanges++
	s.state = slices.DeleteFunc(s.state, func(other stateFrame) bool {
		return other.name == f.name && (!adds || bytes.Equal(other.raw, f.raw))
	})
	if !off {
		s.state = append(s.state, f)
	}
	if s.pinned != nil {
		s.pinned.stateful = len(s.state) > 0
	}
}

// keeps reports whether the server keeps what a command of that name has set. The lock is held.
func (s *session) keeps(name string) bool {
	return slices.ContainsFunc(s.state, func(f stateFrame) bool { return f.name == name })
}

// noClient is an id that no client has.
const noClient = -1

// restore brings a fresh pinned lane to the session's standing state. serverID is by what id the lane's server
// knows the lane of another session, noClient if it has none. Nobody is told of the answers. The lock is held.
func (s *session) restore(ln *lane, serverID func(id int64) int64) {
	for i := range s.state {
		f := &s.state[i]
		raw := f.raw
		if f.redirect != 0 {
			id := serverID(f.redirect)
			if id == noClient {
				continue // as if the server had found out that it is gone: see invalidate
			}
			raw = f.to(id)
		}
		ln.bring(f.name, raw)
	}
	for _, f := range s.subs.since(&subscriptions{}) {
		ln.subscribe(f)
	}
}

// bring sends one of the commands that make up a session's state.
func (ln *lane) bring(name string, raw []byte) {
	ln.stateful = true
	ln.enqueue(&request{src: raw, replies: 1, then: func(reply []byte) []byte {
		switch {
		case reply[0] != '-':
			ln.monitoring = ln.monitoring || name == monitorName
		case name != "CLIENT NO-TOUCH": // which not all servers have, and which changes no reply
			ln.refused = name + ": " + oneLine(string(bytes.TrimSpace(reply)))
		}
		return nil
	}})
}

const monitorName = "MONITOR"

// unasked classifies what has come on a pinned lane that no request asked for: it is a push, a message, or a
// line of MONITOR.
func (ln *lane) unasked(b []byte) bool {
	switch {
	case b[0] == '>':
		kind, _ := messageKind(b)
		set, _ := (&subscriptions{}).of(kind)
		return set == nil || ln.queue.head == nil || ln.queue.head.sub == nil
	case b[0] == '*' && ln.listening && !ln.resp3:
		kind, _ := messageKind(b)
		return kind == "message" || kind == "pmessage" || kind == "smessage" || ln.queue.head == nil
	case b[0] == '+' && ln.monitoring:
		return ln.queue.head == nil || isMonitorLine(b)
	}
	return false
}

// mayBeUnasked reports whether a reply that begins so may turn out to be unasked when it is there whole.
func (ln *lane) mayBeUnasked(kind byte) bool {
	return kind == '>' || kind == '*' && ln.listening && !ln.resp3 || kind == '+' && ln.monitoring
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
		if r.sess == nil {
			ln.refused = oneLine(string(bytes.TrimSpace(b)))
		}
		return true
	}
	kind, name := messageKind(b)
	if s := ln.user; s != nil && r.sess != nil {
		s.confirm(ln, kind, name)
	}
	r.sub.n--
	return r.sub.n == 0
}

// confirm takes a confirmation of the session's own lane into account. The lock is held.
func (s *session) confirm(ln *lane, kind string, name []byte) {
	s.subs.confirm(kind, name)
	s.listens(ln)
}

// listens notes whether the session has subscriptions. The lock is held.
func (s *session) listens(ln *lane) {
	if ln.listening = s.subs.any(); ln.listening {
		s.pins |= pinSubscribed
	} else {
		s.pins &^= pinSubscribed
	}
}

// clean reports whether the server keeps nothing for the lane that another session would notice.
func (ln *lane) clean() bool { return !ln.listening && !ln.monitoring && !ln.stateful && !ln.multi }
