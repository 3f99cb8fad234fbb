package proxy

import (
	"strings"
	"time"
)

// How often a secondary that refuses copies is tried with one.
const (
	probeMin = 50 * time.Millisecond
	probeMax = time.Second
)

// refusal is what the secondary answers whatever it is asked, or to every copy: it is full, a replica, loading, busy
// with a script. No key is to blame, and a million dirty ones must not be read from the primary again and again to
// learn it: from the first such answer on, one copy at a time is let through, less and less often, until one is taken.
// Effects go on: they cost the primary nothing, and those that a full server takes make room there.
type refusal struct {
	text string // the server's words; empty: it takes what it is sent
	// copies: only the answer to a copy shows that it is over.
	copies bool
	// byKey: the words may be about the key after all, so others are tried soon, and the keys are named.
	byKey bool
	pause time.Duration
	next  int64 // when the next copy may be tried, Unix nanoseconds
	// granted: one is being read for that.
	granted bool

	trouble complaint
}

// standing reports whether the secondary was last heard to refuse.
func (f *refusal) standing() bool { return f.text != "" }

// ready reports whether a copy may be read, to be tried. While the refusal stands that is the next attempt: nobody else
// need read anything for it.
func (f *refusal) ready() bool {
	if !f.standing() {
		return true
	}
	now := time.Now().UnixNano()
	if now < f.next {
		return false
	}
	f.next = now + int64(f.pause)
	if !f.byKey {
		f.pause = min(2*f.pause, probeMax)
	}
	f.granted = true
	return true
}

// admits reports whether a copy may be sent now: that for which ready was asked.
func (f *refusal) admits() bool {
	granted := f.granted
	f.granted = false
	return granted || !f.standing()
}

// refused notes an answer that is a refusal.
func (f *refusal) refused(now int64, text string, copies, byKey bool) {
	if !f.standing() {
		f.pause, f.next = probeMin, now+int64(probeMin)
	}
	f.text, f.copies, f.byKey = text, copies, byKey
}

// taken notes that the secondary has done what it was sent: a copy that restores a key, or anything else. It reports
// whether that ends the refusal.
func (f *refusal) taken(restored bool) bool {
	if !f.standing() || f.copies && !restored {
		return false
	}
	f.text, f.copies, f.byKey = "", false, false
	return true
}

// refusesAll reports whether an error reply is about the server's state, and not about what it was asked: the same
// would be said to anything, or, with copies set, to every copy.
func refusesAll(text string, copied bool) (all, copies, byKey bool) {
	code, words, _ := strings.Cut(strings.TrimPrefix(text, "-"), " ")
	switch code {
	case "READONLY", "MISCONF", "LOADING", "MASTERDOWN", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "NOAUTH":
		return true, false, false
	case "OOM":
		return true, true, false // what removes keys it still does
	case "NOPERM":
		return copied && strings.Contains(words, "permissions to run the"), true, false
	case "ERR":
		return copied && strings.Contains(words, "DUMP payload version"), true, true
	}
	return false, false, false
}

// noteRefusal keeps up what the secondary is known to refuse, by its verdict on one effect or copy.
func (e *EffectLane) noteRefusal(a *awaited, good bool, why string, now int64) {
	f := &e.refusal
	if good {
		if f.standing() && f.taken(a.copied && !a.gone) {
			f.trouble.eased(e.sh.opt.Log, "the secondary takes writes again", "instance", e.inst.String())
		}
		return
	}
	if all, copies, byKey := refusesAll(why, a.copied); all {
		f.refused(now, why, copies, byKey)
		if !byKey {
			f.trouble.failed(e.sh.opt.Log, "the secondary refuses writes", errText(why), "instance", e.inst.String())
		}
	}
}

// errText is an error reply of a server.
type errText string

func (t errText) Error() string { return string(t) }

// Refusal says what the secondary answers to everything, empty if it does not. The lock is held.
func (e *EffectLane) Refusal() string {
	if e.refusal.byKey {
		return ""
	}
	return e.refusal.text
}

// loggedOut reports whether the server takes the connection for one that has not logged in: its user was deleted, or
// whatever stands between has forgotten it. A new connection may be let in.
func loggedOut(why string) bool { return strings.HasPrefix(why, "-NOAUTH") }

// firstError is the first error among replies that end at ends, the first of which begins at at; nil if there is none.
func firstError(buf []byte, at int, ends []int) []byte {
	for _, end := range ends {
		if buf[at] == '-' {
			return buf[at:end]
		}
		at = end
	}
	return nil
}
