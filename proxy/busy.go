package proxy

import (
	"bytes"
	"context"
	"net"
	"time"

	"tandem/internal/instance"
)

// A server that runs a script for longer than its limit (busy-reply-threshold) answers all others that it is busy,
// and executes nothing of theirs. Through the proxy they share a connection with the script, or wait for its keys: a
// server takes nothing from a connection before it has answered what came before, so they would get no answer at all
// and be executed when the script ends. So when the oldest command of a lane is overdue, the server is asked on
// another connection. As long as it says there that it is busy, and that command is not answered, what sessions ask for
// is answered with the same words and not sent.
//
// What a session has sent already is executed, and what it sends behind that waits with it: a server would not have
// looked at it either.

const (
	// busyAfter is how long the oldest command of a lane must have been unanswered for the server to be asked. It does
	// not say that it is busy before its own limit.
	busyAfter = 500 * time.Millisecond
	// busyEvery is how often is looked for such a command, and asked again.
	busyEvery = 100 * time.Millisecond
)

// busyness is what the primary has said while a lane's oldest command was unanswered. It holds until that is.
type busyness struct {
	reply []byte // nil: it is not busy
	ln    *lane
	head  *request
	at    int64
}

// holds reports whether the primary has said that it is busy, and nothing since that it is not. The lock is held.
func (b *busyness) holds() bool {
	if b.reply == nil {
		return false
	}
	if head := b.ln.queue.head; head != b.head || head.at != b.at {
		*b = busyness{}
	}
	return b.reply != nil
}

// overdue returns the first shared lane whose oldest command waits for an answer too long, nil if there is none. The
// lock is held.
func (sh *Shard) overdue(now time.Time) (found *lane) {
	for _, ls := range sh.primary.lanes {
		ls.each(func(ln *lane) {
			if head := ln.queue.head; found == nil && ln.up && head != nil && now.UnixNano()-head.at > int64(busyAfter) {
				found = ln
			}
		})
	}
	return found
}

// watchBusy asks the primary whether it is busy, as long as a command is overdue.
func (sh *Shard) watchBusy() {
	tick := time.NewTicker(busyEvery)
	defer tick.Stop()
	var conn net.Conn
	var asked *instance.Instance
	var nudged busyness
	hangUp := func() {
		if conn != nil {
			_ = conn.Close()
			conn = nil
		}
	}
	defer hangUp()
	for {
		select {
		case <-sh.ctx.Done():
			return
		case <-tick.C:
		}
		sh.lock()
		ln, inst, login := sh.overdue(time.Now()), sh.primary.inst, sh.accounts.own.login(false)
		var b busyness
		if ln != nil {
			b = busyness{ln: ln, head: ln.queue.head, at: ln.queue.head.at}
		}
		sh.unlock()
		if ln == nil || inst != asked {
			hangUp()
		}
		if ln == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(sh.ctx, stallLimit)
		var err error
		if asked = inst; conn == nil {
			conn, _, err = inst.OpenAs(ctx, login, "", 0) // a server that is busy takes no name
		}
		if err == nil {
			b.reply, err = ask(ctx, conn, pingFrame)
		}
		cancel()
		if err != nil {
			hangUp()
			b.reply = nil
		}
		sh.lock()
		switch busy := bytes.HasPrefix(b.reply, []byte("-BUSY ")); {
		case busy:
			if sh.busy = b; sh.busy.holds() {
				sh.withdrawBusy()
			}
		case err == nil && b.holds() && (b.head != nudged.head || b.at != nudged.at):
			// Redis before 6.2 may forget what it has read together with a script that was too long, until more comes.
			nudged = b
			ln.swallow(pingFrame)
			ln.flushLocked(nil)
			fallthrough
		default:
			sh.busy = busyness{}
		}
		sh.unlock()
	}
}

// withdrawBusy has those look again whose writes wait for keys of what the primary is busy with. The lock is held.
func (sh *Shard) withdrawBusy() {
	for _, w := range sh.ledger.Waiting() {
		if r, ok := w.Waiter.(*request); ok && r.mayBeBusy() && r.sess.inflight.Load() == 1 {
			sh.ledger.Cancel(w)
			r.sess.ticket = ticketWithdrawn
			r.sess.wakeUp()
		}
	}
}

// mayBeBusy reports whether the request may be answered that the primary is busy. What belongs to a transaction that is
// open on the server may not: the server must know of it.
func (r *request) mayBeBusy() bool {
	return !r.own && r.tx == nil && r.sub == nil && len(r.canned) == 0
}

// answerBusy answers, in the primary's words, that it is busy. Nothing of the session's is on the way, and r is not sent.
// The lock is held.
func (s *session) answerBusy(r *request) bool {
	if r.queued == isMulti {
		// The primary would take it, refuse whatever follows, and so the whole.
		r.tx.refusal = bytes.Clone(s.sh.busy.reply)
		return s.refuseInstead(r, []byte("+OK\r\n"))
	}
	return s.refuseInstead(r, s.sh.busy.reply)
}
