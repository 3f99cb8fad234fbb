package proxy

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/resp"
	"tandem/router"
)

// tracking is CLIENT TRACKING: invalidations come on the session's own lane, or on that of the session that
// they are redirected to, whose id the server knows by another number.
func (s *session) tracking(cmd *router.Command, raw []byte, args [][]byte) bool {
	f, off, adds := parseTracking(args)
	raw, alive := s.redirected(&f, raw)
	return alive && s.keepFrame(cmd, raw, f, off, adds)
}

// broadcasts reports whether a CLIENT TRACKING is of prefixes, and not of what the client reads.
func (f *stateFrame) broadcasts() bool {
	return slices.ContainsFunc(resp.Args(f.raw, nil), func(arg []byte) bool { return bytes.EqualFold(arg, []byte("BCAST")) })
}

// redirected is a CLIENT TRACKING as the primary is to have it: another session that it redirects to has a lane of its
// own then, and is named by that lane's id. False: this session has ended.
func (s *session) redirected(f *stateFrame, raw []byte) (forPrimary []byte, alive bool) {
	f.raw = bytes.Clone(raw) // the client's buffer may move meanwhile
	if f.redirect == 0 {
		return f.raw, true
	}
	id, alive := s.haveStand(f.redirect)
	if !alive {
		return nil, false
	}
	return f.to(id), true
}

// parseTracking is what a CLIENT TRACKING asks for: off, or adds what an earlier one has not asked for.
func parseTracking(args [][]byte) (f stateFrame, off, adds bool) {
	f = stateFrame{name: "CLIENT TRACKING"}
	off = strings.EqualFold(string(args[2]), "OFF")
	for i := 3; i < len(args); i++ {
		switch option := string(args[i]); {
		case strings.EqualFold(option, "BCAST"):
			adds = !off // further prefixes are added to those there are
		case strings.EqualFold(option, "REDIRECT") && i+1 < len(args):
			id, err := strconv.ParseInt(string(args[i+1]), 10, 64)
			if err == nil && id != 0 {
				f.redirect, f.place = id, i+1
			}
			i++
		case strings.EqualFold(option, "PREFIX"):
			i++
		}
	}
	return f, off, adds
}

// haveStand has a session get a lane of its own, for others' invalidations, and returns its id there; noClient
// if there is no such session. False: this session has ended.
func (s *session) haveStand(id int64) (serverID int64, alive bool) {
	if !s.submit() || !s.awaitAnswers() {
		return 0, false
	}
	other := s.srv.byID(id)
	switch {
	case other == nil:
		return noClient, true
	case other == s:
		if !s.stand() {
			return 0, false
		}
	default:
		other.wanted.Store(true)
		_ = other.conn.SetReadDeadline(time.Unix(1, 0)) // it waits for its client
	}
	ctx, cancel := s.bound(max(s.sh.opt.PrimaryWait, time.Second))
	defer cancel()
	_ = s.sh.Await(ctx, func() bool {
		ln := other.pinned
		return other.closed.Load() || ln != nil && ln.up && ln.clientID != 0 && other.pins&pinRedirected != 0
	})
	return s.srv.serverID(id), !s.closed.Load()
}

// stand gives the session a lane of its own because others' invalidations come there. False: it has ended.
func (s *session) stand() bool {
	if s.who == nil {
		return true // it has not logged in: there is no lane for it
	}
	if !s.pin(pinRedirected) {
		return false
	}
	if s.tx != nil {
		return true // it is on one
	}
	return s.askPrimary(ownCommand, clientIDFrame, true, func([]byte) []byte { return nil })
}

// caching is CLIENT CACHING: it holds for the next command, which may find another primary.
func (s *session) cachingCommand(cmd *router.Command, raw []byte) bool {
	if s.pins == 0 { // the server says that tracking is off
		return s.askApart(cmd, raw, func(reply []byte) []byte { return reply })
	}
	frame := bytes.Clone(raw)
	r := s.request()
	r.cmd, r.src, r.replies, r.own = cmd, raw, 1, true
	r.then = func(reply []byte) []byte {
		if reply[0] == '+' {
			s.caching = frame
		}
		return reply
	}
	s.add(r)
	return true
}

// executed forgets what CLIENT CACHING has asked for when the server does: with the next command that is neither
// CLIENT nor queued. The lock is held.
func (s *session) executed(r *request) {
	if s.caching == nil || r.cmd == nil || r.tx != nil && !r.ends || strings.HasPrefix(r.cmd.Name, "CLIENT ") {
		return
	}
	s.caching = nil
}

// trackingFrame is the command by which tracking was switched on, or nil. The lock is held.
func (s *session) trackingFrame() *stateFrame {
	for i := len(s.state) - 1; i >= 0; i-- {
		if s.state[i].name == "CLIENT TRACKING" {
			return &s.state[i]
		}
	}
	return nil
}

// invalidate has a client that caches what it reads forget all of it: the server that it was tracked on is
// another now. It is told in the form in which servers tell of a flush. The lock is held, and nothing is on the
// way on any pinned lane.
func (s *session) invalidate() {
	f := s.trackingFrame()
	if f == nil {
		return
	}
	to := s
	if f.redirect != 0 {
		to = s.sh.standing(f.redirect)
	}
	null := nullBulk2
	if s.pinned.resp3 {
		null = null3
	}
	switch {
	case to == nil:
		s.redirectBroken(f.redirect)
	case to.pinned.resp3:
		to.hear([]byte(">2\r\n$10\r\ninvalidate\r\n" + null))
	case f.redirect != 0 && to.subs.any():
		to.hear([]byte("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n" + null))
	}
}

const (
	nullBulk2 = "$-1\r\n"
	null3     = "_\r\n"
)

// redirectBroken tells a client that the one is gone to which its invalidations should go.
func (s *session) redirectBroken(id int64) {
	if s.pinned.resp3 {
		s.hear([]byte(brokenPush + strconv.FormatInt(id, 10) + "\r\n"))
	}
}

const (
	brokenKind = "tracking-redir-broken"
	brokenPush = ">2\r\n$21\r\n" + brokenKind + "\r\n:" // and an id
)

// hear hands the client what it has not asked for, in between replies. The lock is held.
func (s *session) hear(b []byte) {
	if s.sh.gates.holds(s) {
		s.sh.gates.addPiece(s, b, true)
		return
	}
	s.out.write(b, true)
}

// invalidateSoon is invalidate at a moment when nothing is on its way to the client in question.
func (s *session) invalidateSoon() {
	sh := s.sh
	sh.work.Go(func() {
		ctx, cancel := context.WithCancel(sh.ctx)
		defer cancel()
		_ = sh.Await(ctx, func() bool {
			f := s.trackingFrame()
			if s.closed.Load() || s.pinned == nil || f == nil {
				return true
			}
			calm := s.calm()
			if to := sh.standing(f.redirect); to != nil {
				calm = calm && to.calm()
			}
			if calm {
				s.invalidate()
			}
			return calm
		})
	})
}

// calm reports whether nothing is on the way on the session's own lane, nor from there to the client.
func (s *session) calm() bool {
	ln := s.pinned
	return ln == nil || ln.queue.n == 0 && !ln.undelivered.Load() && s.inflight.Load() == 0
}

// maxHead is within how many bytes a reply names the session that is redirected to, if it does.
const maxHead = 512

// inOurIDs is a reply, or a push, in which the server names the session that invalidations are redirected to: it
// gets the id by which clients know that. before is what comes before the number. The lock is held.
func (s *session) inOurIDs(b []byte, before string) []byte {
	f := s.trackingFrame()
	at := bytes.Index(b[:min(len(b), maxHead)], []byte(before))
	if f == nil || f.redirect == 0 || at < 0 {
		return b
	}
	at += len(before)
	v, n, err := resp.Parse(b[at-1:])
	if err != nil || v.Int <= 0 {
		return b
	}
	out := append([]byte(nil), b[:at]...)
	out = strconv.AppendInt(out, f.redirect, 10)
	out = append(out, '\r', '\n')
	return append(out, b[at-1+n:]...)
}

// What comes before the id in a reply to CLIENT GETREDIR and CLIENT TRACKINGINFO.
const (
	beforeRedirect     = ":"
	beforeTrackingInfo = "redirect\r\n:"
)

// redirectReply passes on CLIENT GETREDIR or CLIENT TRACKINGINFO.
func (s *session) redirectReply(cmd *router.Command, raw []byte, before string) bool {
	return s.askApart(cmd, raw, func(reply []byte) []byte { return s.inOurIDs(reply, before) })
}

// askApart is askPrimary about the tracking of the connection. A session without a lane of its own is given one for
// that: a shared one may have its changes reported to us (see feed), which is nothing of the client's.
func (s *session) askApart(cmd *router.Command, raw []byte, then func(reply []byte) []byte) bool {
	lent := s.pins == 0
	if lent && !s.pin(pinState) {
		return false
	}
	ok := s.askPrimary(cmd, raw, true, then)
	if lent {
		s.unpin(pinState)
	}
	return ok
}
