package proxy

import (
	"bytes"
	"math"
	"math/rand/v2"

	"tandem/internal/ledger"
	"tandem/internal/resp"
	"tandem/internal/trace"
)

// Traces: of some of the clients' commands it is told what has become of them. A command is chosen when its batch is
// submitted, and its traced is with the request, then with the effect: nothing is looked up. While nobody wants to know,
// the next to be chosen is further away than any shard will get, so that a batch costs one subtraction.

const (
	// untraced is how many commands no shard will get.
	untraced = 1 << 62
	// maxTracedKeys and maxTracedName bound what is told of the names of a command's keys, the latter in bytes.
	maxTracedKeys = 8
	maxTracedName = 128
	// unheard is what a command is called that the server does not have: what a client has sent in its place may be anything.
	unheard = "unknown"
)

// traces says which commands of a shard are chosen, under its lock.
type traces struct {
	// left is how many commands pass until the next is chosen.
	left int
	// share is the chance of each.
	share float64
	keys  bool
	offer func(*trace.Command)
	phase func() string
}

// traced is a command that was chosen. It is told when its answer and what has become of its effect are known.
type traced struct {
	trace.Command
	open int // of those two
}

// SetTraces has a share of the commands, from 0 to 1, given to offer, which must not wait; with the names of their keys if
// keys is set. phase is called with the lock held.
func (sh *Shard) SetTraces(share float64, keys bool, offer func(*trace.Command), phase func() string) {
	sh.lock()
	defer sh.unlock()
	sh.traces = traces{share: share, keys: keys, offer: offer, phase: phase}
	sh.traces.left = sh.traces.gap()
}

// ShareTraces changes the share; offer and phase are there.
func (sh *Shard) ShareTraces(share float64) {
	sh.lock()
	defer sh.unlock()
	sh.traces.share = share
	sh.traces.left = sh.traces.gap()
}

// gap is how many commands pass before one is chosen, if each is with the same chance, whatever became of the others.
func (t *traces) gap() int {
	switch {
	case t.share <= 0:
		return untraced
	case t.share >= 1:
		return 0
	}
	return int(min(math.Log(1-rand.Float64())/math.Log1p(-t.share), untraced))
}

// chooseTraced chooses among the batch, of which left is short. The lock is held.
func (s *session) chooseTraced() {
	t := &s.sh.traces
	at := len(s.batch) + t.left
	for ; at < len(s.batch); at += 1 + t.gap() {
		if r := s.batch[at]; len(r.canned) == 0 && r.cmd != nil && r.sub == nil && r.traced == nil {
			r.traced = s.trace(r)
		}
	}
	t.left = at - len(s.batch)
}

// trace begins to tell of a command.
func (s *session) trace(r *request) *traced {
	name := r.cmd.Name
	switch {
	case len(r.parts) > 0:
		name = "MULTI"
	case r.cmd.Unheard:
		name = unheard
	}
	c := &traced{open: 1, Command: trace.Command{Name: name, Class: kindOf(r.cmd).String(), Session: s.id, DB: s.db, Arrived: s.sh.now}}
	if s.sh.traces.keys && len(r.parts) == 0 {
		args := resp.Args(r.src, nil)
		places, _ := r.cmd.AppendKeys(nil, args)
		for _, k := range places[:min(len(places), maxTracedKeys)] {
			key := s.key(k, args)
			c.Keys = append(c.Keys, string(bytes.ToValidUTF8(key.Name[:min(len(key.Name), maxTracedName)], []byte("\uFFFD"))))
		}
	}
	return c
}

// tellAnswer notes that the primary has answered; last is its reply, the last one of a transaction, or nil if that is not here
// whole. The lock is held.
func (r *request) tellAnswer(sh *Shard, last []byte) {
	c := r.traced
	r.traced = nil
	c.Phase, c.Primary = sh.traces.phase(), string(r.lane.of.inst.Role)
	c.Sent, c.Answered = r.at, sh.now
	if len(last) > 1 && (last[0] == '-' || last[0] == '!') {
		if last[0] == '!' {
			last = last[bytes.IndexByte(last, '\n'):]
		}
		code, _, _ := bytes.Cut(last[1:], []byte(" "))
		c.Failed = errorCode(code)
	}
	sh.told(c)
}

// errorCode is how an error begins: a word in upper case, or ERR where it is something else, which may be of a client's.
func errorCode(word []byte) string {
	word = bytes.TrimRight(word, "\r\n")
	for _, l := range word {
		if l < 'A' || l > 'Z' {
			return "ERR"
		}
	}
	if len(word) == 0 || len(word) > 32 {
		return "ERR"
	}
	return string(word)
}

// tellUnanswered notes that the primary has not answered, and why. The lock is held.
func (r *request) tellUnanswered(sh *Shard, why string) {
	c := r.traced
	r.traced = nil
	c.Phase, c.Answered, c.Failed = sh.traces.phase(), sh.now, why
	if r.lane != nil {
		c.Primary = string(r.lane.of.inst.Role)
	}
	if c.Sent = r.at; why == trace.Unsent || c.Sent == 0 {
		c.Sent = c.Answered
	}
	sh.told(c)
}

// tellEffect notes what the ledger has made of a write. The lock is held.
func (sh *Shard) tellEffect(c *traced, out ledger.Outcome) {
	switch {
	case c.Handed > 0:
	case out == ledger.Dirtied:
		c.Effect = trace.Copied
	default:
		c.Effect = trace.NoEffect
	}
}

// tellHanded notes that the lane has an effect, and will say what becomes of it. The lock is held.
func (e *EffectLane) tellHanded(c *traced) {
	c.open++
	c.Effect, c.Secondary, c.Handed = trace.Pending, string(e.inst.Role), e.sh.now
	if e.sh.opt.AckBoth {
		c.Gate = e.sh.opt.AckTimeout
	}
}

// tellAcked notes what the secondary has made of an effect. The lock is held.
func (sh *Shard) tellAcked(c *traced, v ledger.Verdict, now int64) {
	c.Acked = now
	switch v {
	case ledger.Good:
		c.Effect = trace.Acknowledged
	case ledger.AtEdge:
		c.Effect = trace.AtExpiry
	case ledger.Refused:
		c.Effect = trace.Refused
	default:
		c.Effect = trace.Mismatched
	}
	sh.told(c)
}

// tellLost notes that effects were lost with their connection. The lock is held.
func (e *EffectLane) tellLost() {
	for i := range e.awaited.n {
		if a := e.awaited.at(i); a.traced != nil {
			a.traced.Acked, a.traced.Effect = max(e.sh.now, a.handed), trace.Lost
			e.sh.told(a.traced)
		}
	}
}

// told tells of a command if all is known. The lock is held.
func (sh *Shard) told(c *traced) {
	if c.open--; c.open == 0 {
		sh.traces.offer(&c.Command)
	}
}
